# Serving on a CPU: Python, NumPy, the one file that serves a model, and a script that answers requests
# line by line. The model is mounted, never copied in. docs/device.md shows how it is built and asked.
FROM python:3.13-slim

RUN pip install --no-cache-dir "numpy>=1.24"

COPY sparserec_np/runtime.py docker/answer.py /app/

# A user of its own, without a home and without a right to write anywhere.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin server
USER 10001
WORKDIR /app
ENV PYTHONDONTWRITEBYTECODE=1

ENTRYPOINT ["python", "answer.py"]
CMD ["/model.safetensors"]
