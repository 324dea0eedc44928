/** Reasoning that models write between <think> and </think> before an answer; the server splits it in the same way (genloom/server/reasoning.py). */

const TAGS = ['<think>', '</think>'];

/**
 * @param {string} text @param {boolean} [isWhole] false: it still grows, and what may be half a tag at its end is left out
 * @returns {{reasoning: string, answer: string, isOpen: boolean}} `isOpen`: the reasoning has no end yet
 */
export function splitReasoning(text, isWhole = true) {
  const found = /^\s*<think>([\s\S]*?)(?:(<\/think>)\s*([\s\S]*)|$)/.exec(text);
  if (!found) return { reasoning: '', answer: !isWhole && TAGS[0].startsWith(text.trimStart()) ? '' : text, isOpen: false };
  const thought = isWhole || found[2] ? found[1] : found[1].slice(0, found[1].length - countTag(found[1]));
  return { reasoning: thought.trim(), answer: found[3] ?? '', isOpen: !found[2] };
}

/** How many characters at the end of a text may begin the closing tag. @param {string} text */
function countTag(text) {
  for (let n = TAGS[1].length - 1; n > 0; n--) if (text.endsWith(TAGS[1].slice(0, n))) return n;
  return 0;
}
