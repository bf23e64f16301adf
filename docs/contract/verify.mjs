// Proves ledgers complete, from the contract alone and without a dependency.
//   node verify.mjs FILE.jsonl [--json]
// FILE holds sealed messages, one a line, their bytes unchanged, in any order, copies included:
// what `fieldgate collect export` writes. Exit code 1 where anything is unexplained, broken or contradicted.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const HASH = /^[0-9a-f]{64}$/;
const FIRST_PREV = "0".repeat(64);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const isNumber = (value) => Number.isInteger(value) && value >= 1 && value <= 2 ** 40;
const isWord = (value) => typeof value === "string" && /^[\x21-\x7e]{1,100}$/.test(value);

function* lines(bytes) {
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(10, from);
    const to = end < 0 ? bytes.length : end;
    if (to > from) yield bytes.subarray(from, to);
    from = to + 1;
  }
}

function read(bytes) {
  try {
    const message = JSON.parse(bytes.toString("utf8"));
    const words = [message.schema, message.id, message.site, message.device, message.epoch];
    return words.every(isWord) && isNumber(message.seq) && HASH.test(message.prev) ? message : null;
  } catch {
    return null;
  }
}

// Each ledger: its messages by number, the runs that never come, and after which number it was not carried on.
function gather(bytes) {
  const ledgers = new Map();
  const ids = new Map();
  const ledger = (site, device, epoch) => {
    const key = JSON.stringify([site, device, epoch]);
    const empty = { site, device, epoch, links: new Map(), gaps: [], after: null, conflicts: 0 };
    return ledgers.get(key) ?? (ledgers.set(key, empty), empty);
  };
  let strange = 0;
  for (const line of lines(bytes)) {
    const message = read(line);
    if (message === null) {
      strange += 1;
      continue;
    }
    const { site, device, epoch, seq, prev, id } = message;
    const own = ledger(site, device, epoch);
    const hash = sha256(line);
    const before = ids.get(id) ?? own.links.get(seq)?.hash;
    if (before !== undefined) {
      if (before !== hash) own.conflicts += 1;
      continue;
    }
    ids.set(id, hash);
    own.links.set(seq, { prev, hash });
    if (message.schema.startsWith("fieldgate.gap/")) note(message, (other) => ledger(site, device, other));
  }
  return { ledgers: [...ledgers.values()], strange };
}

function note({ epoch, seqs, ledger: ended }, ledgerOf) {
  if (seqs) {
    const whose = seqs.epoch ?? epoch;
    const whole = isNumber(seqs.from) && isNumber(seqs.to) && seqs.count === seqs.to - seqs.from + 1 && seqs.count > 0;
    if (whole && isWord(whose) && HASH.test(seqs.last_sha256)) ledgerOf(whose).gaps.push(seqs);
  } else if (ended && isWord(ended.epoch) && (ended.after === null || ended.after === 0 || isNumber(ended.after))) {
    const old = ledgerOf(ended.epoch);
    old.after = Math.min(old.after ?? Infinity, ended.after ?? 0);
  }
}

function prove({ site, device, epoch, links, gaps, after, conflicts }) {
  const numbers = [...links.keys()].sort((a, b) => a - b);
  const top = Math.max(numbers.at(-1) ?? 0, after ?? 0, ...gaps.map((gap) => gap.to));
  const covered = gaps.map((gap) => [gap.from, gap.to]);
  if (after !== null && after < top) covered.push([after + 1, top]);
  const here = merged(numbers.map((number) => [number, number]));
  const missing = without([[1, top]], here);
  const unexplained = without(missing, merged(covered));
  const told = (number) => gaps.filter((gap) => gap.to === number).map((gap) => gap.last_sha256);
  const breaks = numbers.filter((number) => {
    const { prev, hash } = links.get(number);
    const hashes = [...new Set(told(number - 1))];
    const before = number === 1 ? FIRST_PREV : links.get(number - 1)?.hash ?? (hashes.length === 1 ? hashes[0] : prev);
    return prev !== before || told(number).some((one) => one !== hash);
  });
  const trouble = Math.min(top + 1, ...breaks, ...unexplained.map(([first]) => first));
  return {
    site, device, epoch, received: numbers.length, missing: count(missing),
    explained: count(missing) - count(unexplained), unexplained, breaks, conflicts, complete_up_to: trouble - 1,
  };
}

const count = (runs) => runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);

function merged(runs) {
  const result = [];
  for (const [first, last] of [...runs].sort((a, b) => a[0] - b[0])) {
    const before = result.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else result.push([first, last]);
  }
  return result;
}

function without(runs, taken) {
  return runs.flatMap(([first, last]) => {
    const left = [];
    let from = first;
    for (const [start, end] of taken) {
      if (end < from || start > last) continue;
      if (start > from) left.push([from, start - 1]);
      from = end + 1;
    }
    if (from <= last) left.push([from, last]);
    return left;
  });
}

const [file, how] = process.argv.slice(2);
if (file === undefined) {
  console.error("node verify.mjs FILE.jsonl [--json]");
  process.exit(2);
}
const { ledgers, strange } = gather(readFileSync(file));
const verdicts = ledgers.map(prove);
if (how === "--json") console.log(JSON.stringify({ verdicts, strange }));
else for (const one of verdicts) console.log(JSON.stringify(one));
process.exit(verdicts.some((one) => one.unexplained.length || one.breaks.length || one.conflicts) ? 1 : 0);
