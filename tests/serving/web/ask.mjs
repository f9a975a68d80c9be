// Opens model files and asks what standard input says, in JSON: { module, jobs: [{ file, asked: [[method, ...arguments]] }] }.
// Prints an answer for each job: { refused } or { answers }, with { name, message } in place of what was thrown.
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

const { module, jobs } = JSON.parse(await text(process.stdin));
const { Recommender } = await import(module);
const fault = ({ name, message }) => ({ name, message });
const answers = [];
for (const { file, asked = [] } of jobs) {
  let recommender;
  const started = performance.now();
  try {
    recommender = await Recommender.open(await readFile(file));
  } catch (error) {
    answers.push({ refused: fault(error), milliseconds: performance.now() - started });
    continue;
  }
  answers.push({
    milliseconds: performance.now() - started,
    answers: asked.map(([method, ...given]) => {
      try {
        return recommender[method](...given);
      } catch (error) {
        return fault(error);
      }
    }),
  });
}
process.stdout.write(JSON.stringify(answers));
