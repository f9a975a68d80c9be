// The page: search, a list of what somebody likes, and recommendations that change with it. All that it keeps are the
// ids of that list, in this browser's own storage.
import { Recommender } from "./sparserec.js";

const SHOWN = 20,
  FOUND = 12,
  REASONS = 2;
const at = (id) => document.getElementById(id);
const key = `sparserec ${location.pathname}`;

const inline = (id) => at(id)?.textContent;
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const load = async (name) => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.json();
};

let recommender,
  items,
  places,
  picked = [];

async function start() {
  const model = inline("model"),
    told = inline("items");
  let listed;
  [recommender, listed] = await Promise.all([
    Recommender.open(model ? bytesOf(model) : "model.safetensors"),
    told ? JSON.parse(told) : load("items.json"),
  ]);
  items = listed.map((one) => {
    const [id, title = `${id}`, picture] = [one].flat();
    return { id, title, picture };
  });
  places = new Map(items.map((item) => [`${item.id}`, item]));
  for (const item of items) item.text = fold(`${item.title} ${item.id}`);
  picked = restore();
  at("search").addEventListener("input", search);
  at("export").addEventListener("click", save);
  at("delete").addEventListener("click", () => {
    picked = [];
    show("Your list is deleted.");
    at("search").focus();
  });
  show("Ready.");
  search();
  document.documentElement.dataset.ready = "yes";
}

// -- what is kept

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(kept) ? [...new Set(kept.map(String))].map((id) => places.get(id)).filter(Boolean) : [];
  } catch {
    return []; // storage may be switched off, or hold what this page did not write
  }
}

function keep() {
  try {
    if (picked.length) localStorage.setItem(key, JSON.stringify(picked.map(({ id }) => id)));
    else localStorage.removeItem(key);
  } catch {
    /* the list then lasts as long as the page */
  }
}

function save() {
  const text = JSON.stringify({ picked: picked.map(({ id, title }) => ({ id, title })) }, null, 2);
  const link = Object.assign(document.createElement("a"), {
    download: "my-list.json",
    href: URL.createObjectURL(new Blob([text], { type: "application/json" })),
  });
  link.click();
  URL.revokeObjectURL(link.href);
}

function pick(item) {
  picked = picked.includes(item) ? picked.filter((one) => one !== item) : [...picked, item];
  show(`${item.title} is ${picked.includes(item) ? "on" : "off"} your list.`);
}

// -- what is shown

const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// Everything is shown as text, never as markup: titles may say anything.
function element(tag, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside.filter((one) => one != null));
  return made;
}

function entry(item, button, why) {
  const picture = item.picture ? element("img", { src: item.picture, alt: "", loading: "lazy" }) : null;
  const reason = why ? element("p", { className: "why" }, why) : null;
  return element(
    "li",
    {},
    picture,
    element("div", {}, element("p", { className: "name" }, item.title), reason),
    button,
  );
}

function toggle(item, verb) {
  const button = element("button", { type: "button", onclick: () => pick(item) }, verb);
  button.setAttribute("aria-label", `${verb} ${item.title}`);
  return button;
}

// Fills a list anew; the focus stays where it was in it, or goes to what is there to go on with.
function fill(list, entries, otherwise) {
  const buttons = [...list.querySelectorAll("button")],
    place = buttons.indexOf(document.activeElement);
  list.replaceChildren(...entries);
  if (place < 0) return;
  const left = list.querySelectorAll("button");
  (left[Math.min(place, left.length - 1)] ?? otherwise).focus();
}

function search() {
  const words = fold(at("search").value).split(/\s+/).filter(Boolean);
  const found = words.length ? items.filter(({ text }) => words.every((word) => text.includes(word))) : [];
  at("found-count").textContent = words.length
    ? `${found.length} found${found.length > FOUND ? `, the first ${FOUND} shown` : ""}`
    : "";
  fill(
    at("found"),
    found.slice(0, FOUND).map((item) => {
      const button = toggle(item, "Like");
      button.setAttribute("aria-pressed", `${picked.includes(item)}`);
      return entry(item, button);
    }),
    at("search"),
  );
}

function why(liked, item) {
  const { items: ids, scores } = recommender.explainForItems(liked, item.id, { n: REASONS });
  const names = ids.filter((_, k) => scores[k] > 0).map((id) => places.get(`${id}`).title);
  return names.length ? `because you like ${names.join(" and ")}` : "";
}

function recommend() {
  if (!picked.length) return items.slice(0, SHOWN).map((item) => [item, ""]);
  const liked = picked.map(({ id }) => id),
    { items: ids } = recommender.recommendForItems(liked, { n: SHOWN });
  return ids.map((id) => places.get(`${id}`)).map((item) => [item, why(liked, item)]);
}

function show(said) {
  keep();
  document.dispatchEvent(new CustomEvent("picked", { detail: picked }));
  at("recommended-title").textContent = picked.length ? "Recommended for you" : "To begin with";
  fill(
    at("picked"),
    picked.map((item) => entry(item, toggle(item, "Remove"))),
    at("picked-title"),
  );
  fill(
    at("recommended"),
    recommend().map(([item, reason]) => entry(item, toggle(item, "Like"), reason)),
    at("recommended-title"),
  );
  at("picked-empty").hidden = picked.length > 0;
  at("export").disabled = at("delete").disabled = !picked.length;
  at("status").textContent = said;
  search();
}

start().catch((error) => {
  at("status").textContent = `The model cannot be opened: ${error.message}`;
  document.documentElement.dataset.ready = "no";
});
if ("serviceWorker" in navigator && /^http/.test(location.protocol) && window.isSecureContext) {
  navigator.serviceWorker.register("worker.js").catch(() => {}); // the page works without, when there is a network
}
