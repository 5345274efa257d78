// Ask one model or two side by side, as any client of the OpenAI API would; and write that down as code.
"use strict";

(() => {
  const form = document.getElementById("playground");
  if (!form) return;
  const words = form.dataset;
  const byId = (id) => document.getElementById(id);
  const [model, beside, system, prompt, send, stop, clear, lanesBox] =
    ["model", "beside", "system", "prompt", "send", "stop", "clear", "lanes"].map(byId);
  const languages = form.querySelectorAll("[data-language]");
  const code = form.querySelector(".snippet code");
  const language = document.documentElement.lang;
  const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const figure = (value, places = 0) => value.toLocaleString(language, { maximumFractionDigits: places });
  form.hidden = false;

  class Lane {
    constructor(box) {
      this.box = box;
      this.talk = box.querySelector(".talk");
      this.name = box.querySelector(".name");
      this.stats = box.querySelector(".stats");
      this.messages = [];
    }

    get model() { return this === lanes[0] ? model.value : beside.value; }

    reset() {
      this.messages = [];
      this.talk.replaceChildren();
      this.stats.textContent = "";
    }

    turn(role, text) {
      const turn = document.createElement("div");
      turn.className = `turn ${role}`;
      const who = document.createElement("span");
      who.className = "who";
      who.textContent = role === "user" ? words.tYou : this.model;
      const said = document.createElement("div");
      said.className = "said";
      said.dir = "auto";
      said.textContent = text;
      turn.append(who, said);
      this.talk.append(turn);
      this.talk.scrollTop = this.talk.scrollHeight;
      return turn;
    }

    note(turn, text, bad = false) {
      const line = document.createElement("p");
      line.className = bad ? "aside bad" : "aside";
      if (bad) line.setAttribute("role", "alert");
      line.textContent = text;
      turn.append(line);
    }

    async ask(text, signal) {
      this.messages.push({ role: "user", content: text });
      this.turn("user", text);
      const turn = this.turn("assistant", "");
      const said = turn.querySelector(".said");
      turn.classList.add("open");
      const began = performance.now();
      let first = 0, answer = "", usage = null;
      this.stats.textContent = words.tWaiting;
      try {
        const response = await fetch("/v1/chat/completions", {
          method: "POST",
          signal,
          headers: { "Content-Type": "application/json", "X-CSRF-Token": words.csrf },
          body: JSON.stringify({ ...requestOf(this.model, this.messages), stream: true, stream_options: { include_usage: true } }),
        });
        if (!response.ok) throw new Error((await response.json().catch(() => null))?.error?.message || response.statusText);
        for await (const event of eventsOf(response.body)) {
          if (event.error) throw new Error(event.error.message);
          if (event.usage) usage = event.usage;
          const delta = event.choices?.[0]?.delta;
          const piece = delta?.content || delta?.tool_calls?.map((one) => JSON.stringify(one.function)).join("\n") || "";
          if (!piece) continue;
          first ||= performance.now();
          answer += piece;
          const follows = this.talk.scrollHeight - this.talk.scrollTop - this.talk.clientHeight < 40;
          said.textContent = answer;
          if (follows) this.talk.scrollTop = this.talk.scrollHeight;
        }
        if (!answer) this.note(turn, words.tEmpty);
      } catch (error) {
        if (error.name === "AbortError") this.note(turn, words.tStopped);
        else this.note(turn, fill(words.tFailed, { why: error.message }), true);
      }
      turn.classList.remove("open");
      if (answer) this.messages.push({ role: "assistant", content: answer });
      else this.messages.pop();
      this.tell(usage, first - began, performance.now() - first);
    }

    tell(usage, firstMs, restMs) {
      this.stats.textContent = usage && firstMs > 0 ? fill(words.tStats, {
        prompt: figure(usage.prompt_tokens),
        completion: figure(usage.completion_tokens),
        first: figure(firstMs),
        speed: figure(usage.completion_tokens / Math.max(restMs / 1000, 0.001), 1),
      }) : "";
    }
  }

  const lanes = [new Lane(byId("lane-0")), new Lane(byId("lane-1"))];
  let going = null; // what stops it

  // Server-sent events as JSON, until [DONE].
  async function* eventsOf(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        if (!part.startsWith("data: ") || part === "data: [DONE]") continue;
        yield JSON.parse(part.slice(6));
      }
    }
  }

  const number = (id) => (byId(id).value === "" ? null : Number(byId(id).value));

  function requestOf(name, messages) {
    const asked = { model: name, messages: system.value.trim() ? [{ role: "system", content: system.value }, ...messages] : messages };
    for (const id of ["temperature", "top_p", "max_tokens", "seed"]) {
      const value = number(id);
      if (value !== null && !(id === "top_p" && value === 1)) asked[id] = value;
    }
    return asked;
  }

  // ---- as code

  const quoted = (value) => JSON.stringify(value);
  function python(asked) {
    const lines = asked.messages.map((one) => `        {"role": ${quoted(one.role)}, "content": ${quoted(one.content)}},`);
    const rest = Object.entries(asked).filter(([name]) => !["model", "messages"].includes(name)).map(([name, value]) => `    ${name}=${quoted(value)},`);
    return [
      "import os", "", "from openai import OpenAI", "",
      `client = OpenAI(base_url=${quoted(`${words.base}/v1`)}, api_key=os.environ["HEADWATER_KEY"])`,
      "stream = client.chat.completions.create(", `    model=${quoted(asked.model)},`, "    messages=[", ...lines, "    ],", ...rest,
      "    stream=True,", ")", "for chunk in stream:", "    if chunk.choices:", '        print(chunk.choices[0].delta.content or "", end="")',
    ].join("\n");
  }
  const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const curl = (asked) => [
    `curl -N ${words.base}/v1/chat/completions \\`, '  -H "Authorization: Bearer $HEADWATER_KEY" \\', "  -H 'Content-Type: application/json' \\",
    `  -d ${inShell(JSON.stringify({ ...asked, stream: true }, null, 2))}`,
  ].join("\n");
  const javascript = (asked) => [
    'import OpenAI from "openai";', "",
    `const client = new OpenAI({ baseURL: ${quoted(`${words.base}/v1`)}, apiKey: process.env.HEADWATER_KEY });`,
    `const stream = await client.chat.completions.create(${JSON.stringify({ ...asked, stream: true }, null, 2)});`,
    'for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");',
  ].join("\n");
  const writers = { python, curl, javascript };
  let written = "python";
  function writeCode() {
    const typed = prompt.value.trim();
    const messages = typed ? [...lanes[0].messages, { role: "user", content: typed }] : lanes[0].messages;
    code.textContent = writers[written](requestOf(model.value, messages));
  }
  for (const button of languages) {
    button.addEventListener("click", () => {
      written = button.dataset.language;
      for (const other of languages) other.setAttribute("aria-pressed", String(other === button));
      writeCode();
    });
  }

  // ---- acting

  function arrange() {
    const two = Boolean(beside.value);
    lanes[1].box.hidden = !two;
    lanesBox.classList.toggle("two-lanes", two);
    for (const lane of lanes) lane.name.textContent = lane.model;
    writeCode();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = prompt.value.trim();
    if (!text || going || !form.reportValidity()) return;
    going = new AbortController();
    [send.disabled, stop.hidden, prompt.value] = [true, false, ""];
    const asked = beside.value ? lanes : lanes.slice(0, 1);
    await Promise.all(asked.map((lane) => lane.ask(text, going.signal)));
    going = null;
    [send.disabled, stop.hidden] = [false, true];
    writeCode();
    prompt.focus();
  });
  stop.addEventListener("click", () => going?.abort());
  clear.addEventListener("click", () => {
    going?.abort();
    for (const lane of lanes) lane.reset();
    writeCode();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  for (const select of [model, beside]) {
    select.addEventListener("change", () => {
      lanes[select === model ? 0 : 1].reset();
      arrange();
    });
  }
  form.addEventListener("input", writeCode);
  arrange();
})();
