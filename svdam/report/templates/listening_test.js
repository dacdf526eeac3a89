"use strict";
const find = (id) => document.getElementById(id);
const shuffled = (list) => {
  const all = [...list];
  for (let last = all.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [all[last], all[other]] = [all[other], all[last]];
  }
  return all;
};
const trials = JSON.parse(find("trials").textContent);
const blocks = shuffled(new Set(trials.map((one) => one.block)));
const order = blocks.flatMap((block) => shuffled(trials.filter((one) => one.block === block)));
const rows = [["person", "position", "trial", "chosen", "side", "confidence", "seconds"]];
let current = null, shownAt = 0;

const sound = (file, text) => {
  const audio = document.createElement("audio");
  Object.assign(audio, { controls: true, preload: "none", src: `${FOLDER}/${file}` });
  audio.setAttribute("aria-label", text);
  return audio;
};
const column = (title, children) => {
  const box = document.createElement("div");
  box.append(Object.assign(document.createElement("b"), { textContent: title }), ...children);
  return box;
};
const choice = (file, side) => {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "chosen", value: file, required: true });
  input.dataset.side = side;
  label.append(input, ` ${side}`);
  return column("", [label, sound(file, `excerpt ${side}`)]);
};
const show = () => {
  current = order[rows.length - 1];
  find("trial").hidden = !current;
  if (!current) return finish();
  find("trial").reset();
  find("heading").textContent = `Trial ${rows.length} of ${order.length}`;
  const sides = [["more", "Excites it much"], ["less", "Excites it little"]];
  find("references").replaceChildren(...sides.filter(([key]) => current[key].length).map(
    ([key, title]) => column(title, shuffled(current[key]).map(
      (file, index) => sound(file, `${title}, ${index + 1}`)))));
  const [first, second] = shuffled(current.choices);
  find("choices").replaceChildren(choice(first, "A"), choice(second, "B"));
  find("heading").focus();
  shownAt = performance.now();
};
const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
const finish = () => {
  const text = rows.map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  const link = find("download");
  link.download = "answers.csv";
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(text);
  find("end").hidden = false;
  find("end").querySelector("h2").focus();
};
find("begin").addEventListener("click", () => { find("start").hidden = true; show(); });
find("trial").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = document.querySelector("[name=chosen]:checked");
  const confidence = document.querySelector("[name=confidence]:checked").value;
  const seconds = ((performance.now() - shownAt) / 1000).toFixed(2);
  rows.push([find("person").value.trim(), rows.length, current.id, chosen.value,
    chosen.dataset.side, confidence, seconds]);
  show();
});
