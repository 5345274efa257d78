// Files and folders by drag and drop: sent in parts, resumed after a break or a reload, then committed in one go.
// Works on plain http, where a browser has neither crypto.subtle nor a clipboard: the server hashes what it receives.
"use strict";

(() => {
  const form = document.getElementById("upload");
  if (!form) return;
  const text = form.dataset;
  const byId = (id) => document.getElementById(id);
  const [drop, list, rows, total, all, speed, state, send, stop] =
    ["drop", "list", "files", "total", "all", "speed", "state", "send", "stop"].map(byId);
  const [pickFiles, pickFolder, stripBox, stripLine, stripName, title] =
    ["f-files", "f-folder", "strip", "strip-line", "strip-name", "f-title"].map(byId);
  const language = document.documentElement.lang;

  const PART_BYTES = Number(text.part);
  const AT_ONCE = 3;
  const SHOWN_ROWS = 200;
  const ANNOUNCED_AT_ONCE = 500;
  const LEFT_OUT = new Set([".DS_Store", "Thumbs.db", "desktop.ini"]);

  let entries = []; // {file, path, received, id, complete, row}
  let running = false;
  let stopped = false;
  const open = new Set(); // requests under way

  for (const element of form.querySelectorAll("[data-js]")) element.hidden = false;
  drop.classList.add("live");

  // ---- choosing

  async function filesOf(item) {
    if (item.isFile) {
      const file = await new Promise((done, fail) => item.file(done, fail));
      return [{ file, path: item.fullPath.replace(/^\//, "") }];
    }
    const reader = item.createReader();
    const found = [];
    for (;;) { // a reader gives at most a hundred entries at a time
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) break;
      for (const each of some) if (each.name !== ".git") found.push(...await filesOf(each));
    }
    return found;
  }

  function add(found) {
    if (running) return;
    const known = new Map(entries.map((entry) => [entry.path, entry]));
    for (const { file, path } of found) {
      const parts = path.normalize("NFC").split("/");
      if (LEFT_OUT.has(parts.at(-1)) || parts.includes(".git")) continue;
      known.set(parts.join("/"), { file, path: parts.join("/"), received: 0, id: null, complete: false, row: null });
    }
    entries = [...known.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    draw();
  }

  function outerFolder() {
    const first = new Set(entries.map((entry) => (entry.path.includes("/") ? entry.path.split("/")[0] : "")));
    return first.size === 1 ? [...first][0] : "";
  }

  function targetOf(entry) {
    const outer = outerFolder();
    const inner = outer && stripBox.checked ? entry.path.slice(outer.length + 1) : entry.path;
    return text.folder ? `${text.folder}/${inner}` : inner;
  }

  // ---- showing

  const units = ["B", "kB", "MB", "GB", "TB"];
  function size(bytes) {
    let at = 0;
    while (bytes >= 999.5 && at < units.length - 1) { bytes /= 1000; at += 1; }
    const places = at === 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
    return `${bytes.toLocaleString(language, { maximumFractionDigits: places })} ${units[at]}`;
  }
  const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const share = (part) => part.toLocaleString(language, { style: "percent", maximumFractionDigits: 0 });

  function draw() {
    list.hidden = entries.length === 0;
    const bytes = entries.reduce((sum, entry) => sum + entry.file.size, 0);
    const count = entries.length.toLocaleString(language);
    total.textContent = `${entries.length === 1 ? text.tOne : fill(text.tMany, { n: count })} · ${size(bytes)}`;
    const outer = outerFolder();
    stripLine.hidden = !outer || running;
    stripName.textContent = outer ? `${outer}/` : "";
    rows.replaceChildren();
    for (const entry of entries.slice(0, SHOWN_ROWS)) rows.append(drawRow(entry));
    if (entries.length > SHOWN_ROWS) {
      const rest = document.createElement("li");
      rest.className = "quiet";
      rest.textContent = fill(text.tRest, { n: (entries.length - SHOWN_ROWS).toLocaleString(language) });
      rows.append(rest);
    }
    title.placeholder = entries.length === 1
      ? fill(text.tTitleOne, { name: targetOf(entries[0]) })
      : entries.length ? fill(text.tTitleMany, { n: count }) : "";
  }

  function drawRow(entry) {
    const row = document.createElement("li");
    const name = document.createElement("span");
    name.className = "mono name";
    name.textContent = targetOf(entry);
    const note = document.createElement("span");
    note.className = "note-right num";
    const bar = document.createElement("progress");
    bar.max = Math.max(entry.file.size, 1);
    bar.hidden = true;
    bar.setAttribute("aria-label", name.textContent);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "btn small plain";
    remove.textContent = "×";
    remove.setAttribute("aria-label", fill(text.tRemove, { name: name.textContent }));
    remove.hidden = running;
    remove.addEventListener("click", () => {
      entries = entries.filter((other) => other !== entry);
      draw();
    });
    row.append(name, note, bar, remove);
    entry.row = { note, bar, remove };
    show(entry);
    return row;
  }

  function show(entry, word) {
    if (!entry.row) return;
    const { note, bar, remove } = entry.row;
    remove.hidden = running;
    bar.hidden = !running || entry.complete;
    bar.value = entry.complete ? bar.max : entry.received;
    note.textContent = entry.complete ? `${size(entry.file.size)} · ${text.tDone}`
      : word ? `${size(entry.file.size)} · ${word}` : size(entry.file.size);
  }

  function say(words, tone) {
    state.hidden = !words;
    state.className = `note ${tone || ""}`;
    state.textContent = words || "";
  }

  // ---- progress of the whole

  let startedAt = 0;
  let sentBefore = 0;
  function showAll() {
    const bytes = entries.reduce((sum, entry) => sum + entry.file.size, 0);
    const got = entries.reduce((sum, entry) => sum + Math.min(entry.received, entry.file.size), 0);
    all.max = Math.max(bytes, 1);
    all.value = bytes ? got : 1;
    const seconds = (performance.now() - startedAt) / 1000;
    const rate = (got - sentBefore) / Math.max(seconds, 0.1);
    if (seconds < 1.5 || rate <= 0 || got >= bytes) { speed.textContent = ""; return; }
    const left = (bytes - got) / rate;
    const minutes = Math.floor(left / 60);
    const time = `${minutes}:${String(Math.floor(left % 60)).padStart(2, "0")}`;
    speed.textContent = fill(text.tLeft, { speed: size(rate), time });
  }

  // ---- speaking with the server

  class Refused extends Error {
    constructor(status, body) {
      super((body && body.error) || `HTTP ${status}`);
      this.status = status;
      this.code = body && body.code;
    }
  }
  class Broken extends Error {}

  function call(method, url, body, onProgress) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest(); // fetch tells nothing of how far a body is
      open.add(request);
      request.open(method, url);
      request.responseType = "json";
      if (text.csrf) request.setRequestHeader("X-CSRF-Token", text.csrf);
      const isBlob = body instanceof Blob;
      if (body && !isBlob) request.setRequestHeader("Content-Type", "application/json");
      if (isBlob) request.setRequestHeader("Content-Type", "application/octet-stream");
      if (onProgress) request.upload.onprogress = (event) => onProgress(event.loaded);
      request.onloadend = () => open.delete(request);
      request.onload = () => {
        if (request.status >= 200 && request.status < 300 && request.response) done(request.response);
        else if ([0, 408, 429, 500, 502, 503, 504].includes(request.status)) fail(new Broken());
        else fail(new Refused(request.status, request.response));
      };
      request.onerror = request.ontimeout = request.onabort = () => fail(new Broken());
      request.send(isBlob || !body ? body : JSON.stringify(body));
    });
  }

  const pause = (ms) => new Promise((done) => {
    const timer = setTimeout(done, ms);
    window.addEventListener("online", () => { clearTimeout(timer); done(); }, { once: true });
  });

  // Tries again while only the connection is at fault; a refusal of the server is final.
  async function patiently(act) {
    for (let tries = 0; ; tries += 1) {
      try {
        const result = await act(tries);
        if (tries) say("");
        return result;
      } catch (problem) {
        if (stopped || !(problem instanceof Broken)) throw problem;
        say(text.tWaiting, "warn");
        await pause(Math.min(500 * 2 ** tries, 15000));
        if (stopped) throw problem;
      }
    }
  }

  async function announce() {
    for (let at = 0; at < entries.length; at += ANNOUNCED_AT_ONCE) {
      const some = entries.slice(at, at + ANNOUNCED_AT_ONCE);
      const files = some.map((entry) => ({ path: targetOf(entry), size: entry.file.size, stamp: entry.file.lastModified || 0 }));
      const answer = await patiently(() => call("POST", text.session, { files }));
      answer.files.forEach((found, index) => {
        const entry = some[index];
        Object.assign(entry, { id: found.id, received: found.received, complete: found.complete });
        const word = found.received && !found.complete
          ? fill(text.tResumed, { share: share(found.received / entry.file.size) }) : "";
        show(entry, word);
      });
    }
  }

  async function sendFile(entry) {
    const url = `/-/uploads/${entry.id}`;
    while (!entry.complete) {
      await patiently(async (tries) => {
        if (tries) take(entry, await call("GET", url)); // after a break, only the server knows how much came
        if (entry.complete) return;
        const start = entry.received;
        const part = entry.file.slice(start, start + PART_BYTES);
        const isLast = start + part.size >= entry.file.size;
        try {
          take(entry, await call("PUT", `${url}?offset=${start}`, part, (loaded) => {
            entry.received = start + Math.min(loaded, part.size);
            show(entry, isLast && loaded >= part.size ? text.tChecking : text.tSending);
            showAll();
          }));
        } catch (problem) {
          entry.received = start;
          if (problem.code === "offset_differs") { take(entry, await call("GET", url)); return; }
          if (problem.code === "upload_busy") throw new Broken();
          throw problem;
        }
      });
    }
  }

  function take(entry, answer) {
    entry.received = answer.received;
    entry.complete = answer.complete;
    show(entry, text.tSending);
    showAll();
  }

  async function sendAll() {
    const waiting = entries.filter((entry) => !entry.complete);
    const work = async () => {
      while (waiting.length && !stopped) await sendFile(waiting.shift());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  async function run() {
    if (!entries.length) { say(text.tNone, "warn"); return; }
    running = true;
    stopped = false;
    send.disabled = true;
    stop.hidden = false;
    say("");
    draw();
    try {
      await announce();
      startedAt = performance.now();
      sentBefore = entries.reduce((sum, entry) => sum + entry.received, 0);
      await sendAll();
      if (stopped) return;
      say(text.tCommitting);
      const answer = await patiently(() => call("POST", text.commit, {
        ids: entries.map((entry) => entry.id),
        title: title.value.trim() || title.placeholder,
        description: byId("f-description").value,
        as: form.querySelector("[name=as]:checked, [name=as][type=hidden]").value,
      }));
      running = false;
      window.location.assign(answer.url);
    } catch (problem) {
      stopped = true;
      for (const request of open) request.abort();
      if (!(problem instanceof Broken)) say(`${text.tFailed} ${problem.message}`, "bad");
    } finally {
      if (stopped) {
        running = false;
        send.disabled = false;
        stop.hidden = true;
        speed.textContent = "";
        draw();
      }
    }
  }

  // ---- what the reader does

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  stop.addEventListener("click", () => {
    stopped = true;
    for (const request of open) request.abort();
    say("");
  });
  stripBox.addEventListener("change", draw);
  pickFiles.addEventListener("change", () => {
    add([...pickFiles.files].map((file) => ({ file, path: file.name })));
    pickFiles.value = "";
  });
  pickFolder.addEventListener("change", () => {
    add([...pickFolder.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    pickFolder.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    window.addEventListener(kind, (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  window.addEventListener("drop", async (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    drop.classList.remove("over");
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const found = items.map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    const loose = items.map((item, at) => (found[at] ? null : item.getAsFile())).filter(Boolean);
    const nested = await Promise.all(found.filter(Boolean).map(filesOf)); // asked for before the event ends, read after
    add([...nested.flat(), ...loose.map((file) => ({ file, path: file.name }))]);
  });
  window.addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
})();
