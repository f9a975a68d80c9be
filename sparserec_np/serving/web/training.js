// The switch of a page that may take part in federated training: off until the person says yes, and after each loading.
import { Recommender } from "./sparserec.js";
import { takePart } from "./federated.js";

const at = (name) => document.getElementById(`training-${name}`),
  address = document.getElementById("training").dataset.address,
  key = `sparserec training ${location.pathname}`,
  MOST = 50; // answers that are shown
let picked = [],
  going = null;

document.addEventListener("picked", ({ detail }) => {
  picked = detail;
});

// The code and the secret last as long as the tab, so that a training goes on after a reload when the person says yes.
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
}

function keep(what) {
  try {
    if (what) sessionStorage.setItem(key, JSON.stringify(what));
    else sessionStorage.removeItem(key);
  } catch {
    /* they then last as long as the page */
  }
}

const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n == 1 ? "" : "s"}`;

// Says in words what was sent.
function words({ kind, items, values, bytes, counts }) {
  const titles = new Map(picked.map(({ id, title }) => [`${id}`, title])),
    parts = [];
  if (items.length) parts.push(`that your list holds ${items.map((id) => titles.get(id) ?? id).join(", ")}`);
  if (kind == "rank") parts.push("three numbers that say how well a list of the new model hits yours");
  else if (values) parts.push(`${counted(values, "whole number")} from -127 to 127, computed from your list`);
  const said = parts.length ? parts.join("; and ") : "that your list is empty";
  return `Sent: ${said} (${counted(bytes, "byte")}).${counts ? "" : " It came too late, and was not counted."}`;
}

function show(sent) {
  const entry = document.createElement("li");
  entry.textContent = words(sent);
  at("sent").prepend(entry);
  if (at("sent").children.length > MOST) at("sent").lastChild.remove();
}

// Shows whether it is on; the focus goes to the button that is left.
function turn(on, said) {
  const focused = [at("yes"), at("no")].includes(document.activeElement);
  at("state").textContent = on ? "This is on: what is sent is shown below." : "This is off, and nothing is sent.";
  at("yes").disabled = at("code").disabled = on;
  at("no").disabled = !on;
  if (focused) at(on ? "no" : "yes").focus();
  at("status").textContent = said;
}

async function yes() {
  const code = at("code").value.trim();
  if (!/^[\w.~+/=-]{16,200}$/.test(code)) {
    at("status").textContent = "A code has 16 to 200 letters, digits or signs: type or paste the one that you were given.";
    at("code").focus();
    return;
  }
  if (!picked.length) {
    at("status").textContent = "Your list is empty: pick something first.";
    return;
  }
  const before = kept(),
    secret = before.code == code ? before.secret : [...crypto.getRandomValues(new Uint8Array(32))],
    mine = (going = new AbortController());
  keep({ code, secret });
  turn(true, `Taking part in the training of ${new URL(address).host}.`);
  let said;
  try {
    const answers = await takePart({
      address,
      token: code,
      ids: () => picked.map(({ id }) => id),
      secret: Uint8Array.from(secret),
      open: (content) => Recommender.open(content),
      told: (sent) => going == mine && show(sent),
      signal: mine.signal,
    });
    said = `The training is over: ${counted(answers, "answer")} of yours ${answers == 1 ? "was" : "were"} counted. Thank you.`;
  } catch (error) {
    said = `It has ended: ${error.message}.`;
  }
  if (going == mine) turn(false, said);
}

function no() {
  const mine = going;
  going = null;
  mine?.abort();
  keep(null);
  at("code").value = "";
  turn(false, "Stopped. The code is forgotten, and nothing more is sent.");
}

at("yes").addEventListener("click", yes);
at("no").addEventListener("click", no);
at("code").value = kept().code ?? "";
