// Pictures in comments: chosen, pasted or dropped, they are sent at once and named where the cursor stands.
// Without this file the form brings them along, and the server names them after the text.
"use strict";

for (const box of document.querySelectorAll("[data-pictures]")) {
  const form = box.closest("form");
  const area = form.querySelector("textarea");
  const [pick, label, line] = [".pick", "label", ".chosen"].map((one) => box.querySelector(one));
  const words = box.dataset;
  const kinds = new Set(pick.accept.split(","));
  let running = 0;

  box.classList.add("live");
  label.classList.add("btn", "small");
  for (const element of box.querySelectorAll("[data-js]")) element.hidden = false;

  const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const say = (text, bad = false) => {
    line.textContent = text;
    line.hidden = !text;
    line.classList.toggle("bad", bad);
  };
  const stem = (name) => name.replace(/\.[^.]*$/, "").replace(/[[\]\\`*<>!\n\r]/g, " ").trim().slice(0, 80);

  function insert(text) {
    const [from, to] = [area.selectionStart, area.selectionEnd];
    const before = area.value.slice(0, from);
    const gap = before && !before.endsWith("\n") ? "\n" : "";
    area.setRangeText(`${gap}${text}\n`, from, to, "end");
  }

  function put(mark, text) {
    const at = area.value.indexOf(mark);
    if (at >= 0) area.setRangeText(text, at, at + mark.length, "preserve");
    else if (text) insert(text); // the mark was edited away meanwhile
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function send(file, number) {
    const name = file.name || "image";
    const why = !kinds.has(file.type) ? words.tOtherKind : file.size > Number(words.most) ? words.tTooLarge : "";
    if (why) {
      say(fill(words.tRefused, { name, why }), true);
      return;
    }
    const mark = `![${fill(words.tSending, { name: stem(name) })}](#${number})`;
    insert(mark);
    say(fill(words.tSending, { name }));
    running += 1;
    try {
      const answer = await fetch("/uploads", {
        method: "POST",
        headers: { "X-CSRF-Token": words.csrf, "Content-Type": file.type },
        body: file,
      });
      if (!answer.ok) {
        const { error } = await answer.json().catch(() => ({}));
        put(mark, "");
        say(fill(words.tRefused, { name, why: error || answer.status }), true);
        return;
      }
      const address = new URL(await answer.text());
      put(mark, `![${stem(name)}](${address.pathname})`);
      if (running === 1) say("");
    } catch {
      put(mark, "");
      say(fill(words.tBroken, { name }), true);
    } finally {
      running -= 1;
    }
  }

  let count = 0;
  async function sendAll(files) {
    area.focus();
    for (const file of files) await send(file, (count += 1));
  }

  pick.addEventListener("change", () => {
    const files = [...pick.files];
    pick.value = ""; // so that the form does not bring them a second time
    sendAll(files);
  });
  area.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files || [])].filter((file) => kinds.has(file.type));
    if (!files.length) return;
    event.preventDefault();
    sendAll(files);
  });
  const carriesFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  area.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    form.classList.add("over");
  });
  area.addEventListener("dragleave", () => form.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    form.classList.remove("over");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    sendAll([...event.dataTransfer.files]);
  });
  form.addEventListener("submit", (event) => {
    if (!running) return;
    event.preventDefault();
    say(words.tBusy, true);
  });
}
