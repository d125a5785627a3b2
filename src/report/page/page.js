// Sorts tables, and shows the items of a run. Text of models is only ever put in as text.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const at = (id) => document.getElementById(id);
  const make = (name, text, kind) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };

  // A column is sorted by its numbers where it has some, else by its words; once more turns it round.
  for (const button of document.querySelectorAll('thead button')) {
    button.addEventListener('click', () => {
      const head = button.parentElement;
      const body = head.closest('table').tBodies[0];
      const down = head.getAttribute('aria-sort') === 'ascending';
      for (const other of head.parentElement.children) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const sign = down ? -1 : 1;
      const key = (row) => {
        const cell = row.children[head.cellIndex];
        const number = parseFloat(cell.dataset.v ?? cell.textContent);
        return Number.isNaN(number) ? cell.textContent : number;
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (typeof a === 'number' && typeof b === 'number') return sign * (a - b);
        if (typeof a === 'number') return -1;
        if (typeof b === 'number') return 1;
        return sign * a.localeCompare(b);
      });
      body.append(...rows.map(([, row]) => row));
    });
  }

  const runs = new Map(data.runs.map((run) => [run.run, run]));
  const about = (run) => {
    const model = run.settings.model ?? {};
    const asked = model.asked ?? {};
    const short = (name) => String(name).split('/').pop();
    const direction = Array.isArray(model.direction) ? model.direction : null;
    const weights = direction ? ` λ ${direction.map((w) => w.toFixed(2)).join(' ')}` : '';
    const scale = asked.scale === undefined ? '' : ` s ${asked.scale}`;
    const names = asked.models ? asked.models.map(short).join(' + ') : short(model.checkpoint ?? model.path ?? 'model');
    return `${run.benchmark} · ${names} ${asked.combine ?? ''}${weights}${scale} · ${run.run}`;
  };
  const chosen = at('run');
  const other = at('other');
  const filter = at('filter');
  const text = at('text');
  for (const run of data.runs) chosen.append(new Option(about(run), run.run));

  const others = () => {
    const run = runs.get(chosen.value);
    const kept = other.value;
    other.replaceChildren(new Option('none', ''));
    for (const candidate of data.runs) {
      if (run && candidate.run !== run.run && candidate.benchmark === run.benchmark) {
        other.append(new Option(about(candidate), candidate.run));
      }
    }
    if ([...other.options].some((option) => option.value === kept)) other.value = kept;
  };

  const part = (into, title, content) => into.append(make('h4', title), make('pre', content));
  const shown = (item, against) => {
    const details = make('details');
    const summary = make('summary');
    summary.append(make('span', item.kind, `kind ${item.kind}`), ` ${item.id}`);
    if (item.extracted !== null) summary.append(` · ${item.extracted.slice(0, 80)}`);
    details.append(summary);
    details.addEventListener('toggle', () => {
      if (details.childElementCount > 1) return;
      part(details, 'Prompt', item.prompt === null ? '(not kept: its key alone is)' : data.prompts[item.prompt]);
      part(details, item.refused ? 'Refused' : 'Answer', item.answer);
      part(details, 'Extracted', item.extracted ?? '(nothing)');
      part(details, 'Verdict', `${item.kind}${item.value === null ? '' : `, value ${item.value}`}: ${item.reason}`);
      if (against) part(details, `The other run: ${against.kind}, ${against.reason}`, against.answer);
    });
    return details;
  };

  const show = () => {
    const run = runs.get(chosen.value);
    if (!run) return;
    at('settings').querySelector('pre').textContent = JSON.stringify(run.settings, null, 2);
    const against = new Map((runs.get(other.value)?.items ?? []).map((item) => [item.id, item]));
    const wanted = text.value.toLowerCase();
    const fits = (item) => {
      const rival = against.get(item.id);
      const flipped = rival !== undefined && (rival.kind === 'right') !== (item.kind === 'right');
      if (filter.value === 'flipped' ? !flipped : filter.value !== 'all' && filter.value !== item.kind) return false;
      const prompt = item.prompt === null ? '' : data.prompts[item.prompt];
      return wanted === '' || `${item.id}\n${prompt}\n${item.answer}`.toLowerCase().includes(wanted);
    };
    const items = run.items.filter(fits);
    const needs = filter.value === 'flipped' && against.size === 0 ? ' Choose the other run.' : '';
    at('count').textContent = `${items.length} of ${run.items.length} items.${needs}`;
    at('items').replaceChildren(...items.map((item) => shown(item, against.get(item.id))));
  };

  const go = () => {
    const named = decodeURIComponent(location.hash).match(/^#run-(.*)$/);
    if (!named || !runs.has(named[1])) return;
    chosen.value = named[1];
    others();
    show();
    at('runs').scrollIntoView();
    chosen.focus({ preventScroll: true });
  };
  chosen.addEventListener('change', () => { others(); show(); });
  for (const control of [other, filter]) control.addEventListener('change', show);
  text.addEventListener('input', show);
  at('controls').addEventListener('submit', (event) => event.preventDefault());
  addEventListener('hashchange', go);
  others();
  show();
  go();
})();
