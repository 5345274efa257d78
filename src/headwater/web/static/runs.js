// A run as it goes: log, progress and curves come by themselves. Without this file the page shows what was when it was loaded.
"use strict";

const run = document.getElementById("run");
if (run && !run.dataset.over && "EventSource" in window) {
  const log = document.getElementById("log");
  const base = `/api/v1/runs/${run.dataset.run}/events`;
  const colours = /\x1b\[[0-9;?]*[A-Za-z]/g;
  let points = Number(run.dataset.points);
  let drawing = false;
  let attempt = 0;
  let end = 0;

  const add = (text) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const kept = log.textContent.slice(-400000);
    const whole = (kept + text.replace(colours, "")).replace(/\r\n/g, "\n");
    log.textContent = whole.replace(/[^\n]*\r(?!$)/g, "");
    document.getElementById("nolog")?.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  };

  async function draw() {
    if (drawing) return;
    drawing = true;
    try {
      const answer = await fetch(`/runs/${run.dataset.run}/curves`);
      if (answer.ok) {
        document.getElementById("curves").innerHTML = await answer.text();
        document.getElementById("curvecard").hidden = false;
      }
    } finally {
      setTimeout(() => { drawing = false; }, 2000);
    }
  }

  const events = new EventSource(`${base}?after=${run.dataset.after}`);
  events.addEventListener("log", (event) => {
    const piece = JSON.parse(event.data);
    if (attempt === piece.attempt && end < piece.start) add(`\n[… ${piece.start - end} …]\n`);
    [attempt, end] = [piece.attempt, piece.end];
    add(piece.text);
  });
  events.addEventListener("run", (event) => {
    const now = JSON.parse(event.data);
    if (now.state !== run.dataset.state) {
      // What else changes with the state is the page's own to say.
      events.close();
      location.reload();
      return;
    }
    const bar = document.getElementById("progress");
    const told = now.progress;
    if (bar && told) {
      bar.parentElement.hidden = false;
      if (told.total) bar.value = Math.min(1, told.done / told.total);
      document.getElementById("doing").textContent = `${told.what} ${told.done}${told.total ? ` / ${told.total}` : ""}`;
    }
    if (now.points !== points) {
      points = now.points;
      draw();
    }
  });
  events.addEventListener("over", () => {
    events.close();
    location.reload();
  });
  log.scrollTop = log.scrollHeight;
}
