/** A conversation as a tree: answers that were asked for again and questions that were edited stay as siblings. */

/** @typedef {import('../../core/shapes').Turn} Turn */

/**
 * The branch that ends in a leaf, from its first turn.
 * @param {Turn[]} turns @param {string | null | undefined} leaf @returns {Turn[]}
 */
export function findBranch(turns, leaf) {
  const known = new Map(turns.map((turn) => [turn.id, turn]));
  let turn = known.get(leaf ?? '') ?? findLast(turns);
  const branch = [];
  while (turn && branch.length <= turns.length) {
    branch.push(turn);
    turn = turn.parent ? known.get(turn.parent) : undefined;
  }
  return branch.reverse();
}

/** @param {Turn[]} turns */
const findLast = (turns) => turns.reduce((/** @type {Turn | undefined} */ last, turn) => (!last || turn.created >= last.created ? turn : last), undefined);

/**
 * Turns by their parent.
 * @param {Turn[]} turns @returns {Map<string, Turn[]>}
 */
export function groupChildren(turns) {
  /** @type {Map<string, Turn[]>} */
  const children = new Map();
  for (const turn of turns) {
    const parent = turn.parent ?? '';
    const siblings = children.get(parent);
    if (siblings) siblings.push(turn);
    else children.set(parent, [turn]);
  }
  return children;
}

/** The newest end of the branches below a turn. @param {Map<string, Turn[]>} children @param {Turn} turn @returns {Turn} */
export function findLeaf(children, turn) {
  let leaf = turn;
  for (let n = 0; n <= children.size; n++) { // bounded, should turns ever be each other's parents
    const next = children.get(leaf.id)?.at(-1);
    if (!next) break;
    leaf = next;
  }
  return leaf;
}
