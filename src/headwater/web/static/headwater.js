// Small comforts; every page reads and works without this file.
"use strict";

// `/` goes to the search field, Escape leaves it.
document.addEventListener("keydown", (event) => {
  const field = document.getElementById("find");
  const at = event.target;
  const typing = at instanceof HTMLElement && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName));
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && field) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "Escape") {
    if (at === field) field.blur();
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
});

// A menu closes when something outside is chosen.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// The theme changes without loading the page again; the cookie is what the link would have set.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("[data-theme-choice]");
  if (!link) return;
  event.preventDefault();
  const theme = link.dataset.themeChoice;
  document.cookie = `hw_theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  document.documentElement.dataset.theme = theme;
  document.querySelector("meta[name=color-scheme]").content = theme === "auto" ? "light dark" : theme;
  for (const other of document.querySelectorAll("[data-theme-choice]")) {
    if (other.dataset.themeChoice === theme) other.setAttribute("aria-current", "true");
    else other.removeAttribute("aria-current");
  }
});

// Copy buttons. On plain http a browser has no clipboard API: a selection and the old command do the same.
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = button.dataset.copyText || button.parentElement.querySelector("code, pre").textContent;
    await copyText(source);
    const label = button.textContent;
    button.textContent = button.dataset.done;
    button.setAttribute("aria-live", "polite");
    setTimeout(() => { button.textContent = label; }, 1600);
  });
}

// A choice that should act at once (branch switch): the button beside it is only needed without JavaScript.
for (const select of document.querySelectorAll("select[data-go]")) {
  select.addEventListener("change", () => { window.location.href = select.value; });
}
for (const button of document.querySelectorAll("[data-without-js]")) button.hidden = true;

// A click on a line's number puts the line into the address, to be passed on; Shift marks up to there.
for (const view of document.querySelectorAll(".lines")) {
  const mark = () => {
    const [, from, to] = /^#L(\d+)(?:-L?(\d+))?$/.exec(window.location.hash) || [];
    for (const line of view.querySelectorAll(".line.on")) line.classList.remove("on");
    if (!from || !to) return;
    const [first, last] = [Number(from), Number(to)].sort((a, b) => a - b);
    for (let at = first; at <= last; at += 1) document.getElementById(`L${at}`)?.classList.add("on");
    document.getElementById(`L${from}`)?.scrollIntoView({ block: "center" });
  };
  view.addEventListener("click", (event) => {
    const line = event.target.closest(".line");
    if (!line || event.clientX > line.getBoundingClientRect().left + 56) return;
    const from = event.shiftKey && /^#L(\d+)/.exec(window.location.hash);
    window.history.replaceState(null, "", from ? `#L${from[1]}-${line.id}` : `#${line.id}`);
    if (from) mark(); else window.location.replace(`#${line.id}`);
  });
  window.addEventListener("hashchange", mark);
  mark();
}

// In a narrow window a page's place among its neighbours may lie outside of what can be seen.
for (const here of document.querySelectorAll(".side [aria-current], .tabs [aria-current]")) {
  const row = here.parentElement;
  if (row.scrollWidth > row.clientWidth) row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
}

// What stands beside a list in a wide window stands before it in a narrow one, and is folded there.
const narrow = window.matchMedia("(max-width: 1000px)");
const foldAside = () => {
  for (const details of document.querySelectorAll("details[data-wide-open]")) details.open = !narrow.matches;
};
narrow.addEventListener("change", foldAside);
foldAside();
