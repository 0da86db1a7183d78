"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const memory = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* sandboxed */ } },
  };

  // theme: auto follows the system
  const buttons = all(".theme button");
  const paint = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.theme === theme));
  };
  for (const one of buttons) {
    one.addEventListener("click", () => {
      paint(one.dataset.theme);
      memory.set("landscape-theme", one.dataset.theme);
    });
  }
  const kept = memory.get("landscape-theme");
  if (buttons.some((one) => one.dataset.theme === kept)) paint(kept);

  // tables: sort by a column
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.sort;
    return value === undefined ? cell.textContent.trim() : Number(value);
  };
  const compare = (a, b) => {
    const numeric = [a, b].map((one) => typeof one === "number");
    if (numeric[0] && numeric[1]) {
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return a - b;
    }
    if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  const sort = (table, column, head) => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [keyOf(row, column), row]);
    keyed.sort((a, b) => (rising ? compare(a[0], b[0]) : compare(b[0], a[0])));
    body.append(...keyed.map(([, row]) => row));
    for (const one of all("th", table.tHead)) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  };
  for (const table of all("table.data")) {
    if (table.tBodies[0].rows.length < 2) continue;
    all("th", table.tHead).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column, head));
      head.append(button);
    });
  }

  // tables of many rows: show those that hold some text
  for (const figure of all("figure.table.many")) {
    const rows = [...figure.querySelector("tbody").rows];
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "Filter rows";
    input.setAttribute("aria-label", "Filter rows");
    const count = figure.querySelector(".count");
    count.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    });
    figure.querySelector("figcaption").append(input);
  }

  // figures: as large as the window, in a dialog that Escape closes
  const pressable = (text, label, act) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "enlarge", textContent: text });
    button.setAttribute("aria-label", label);
    button.addEventListener("click", act);
    return button;
  };
  const enlarge = (holder, opener) => {
    const dialog = document.createElement("dialog");
    dialog.className = "enlarged";
    dialog.setAttribute("aria-label", holder.getAttribute("aria-label"));
    holder.style.height = `${holder.offsetHeight}px`; // nothing moves behind it
    dialog.append(pressable("Close", "Close the figure", () => dialog.close()), ...holder.childNodes);
    dialog.addEventListener("close", () => {
      dialog.firstChild.remove();
      holder.append(...dialog.childNodes);
      holder.style.height = "";
      dialog.remove();
      opener.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  };
  for (const holder of all(".drawing > .scroll")) {
    const name = holder.getAttribute("aria-label");
    const opener = pressable("Enlarge", `Enlarge: ${name}`, () => enlarge(holder, opener));
    opener.setAttribute("aria-haspopup", "dialog");
    holder.before(opener);
  }

  // the document that this page was made from
  document.getElementById("download").addEventListener("click", async () => {
    const coded = atob(document.getElementById("report").textContent);
    const packed = new Blob([Uint8Array.from(coded, (character) => character.charCodeAt(0))]);
    const unpacked = packed.stream().pipeThrough(new DecompressionStream("gzip"));
    const document_ = await new Response(unpacked).json();
    const blob = new Blob([JSON.stringify(document_, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "report.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  for (const one of all(".theme, .download")) one.hidden = false;
})();
