// Tabs by the ARIA pattern: arrows, Home and End go from one to the next, and the panel follows.

/** @param {HTMLElement} list @param {(name: string) => void} open told the name of the tab that was opened */
export function tabs(list, open) {
  const all = [...list.querySelectorAll("[role=tab]")];

  function select(tab) {
    for (const each of all) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = each !== tab;
    }
    open(tab.dataset.mode);
  }

  all.forEach((tab, at) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = all.at(step % all.length);
      next.focus();
      select(next);
    });
  });
}
