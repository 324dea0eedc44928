/** What a prompt and its variables are for, in the reader's language; prompts of a workspace stay in their own words. */
import { hasMessage, t } from '../../core/i18n.js';

/** @typedef {import('../../core/shapes').Prompt} Prompt */
/** @typedef {import('../../core/shapes').PromptVariable} Variable */

/** @param {string} key @param {string} own */
const say = (key, own) => (hasMessage(key) ? t(key) : own);

/** @param {Prompt} prompt */
export const describe = (prompt) => (prompt.version === 0 ? say(`prompts.of_${prompt.name}`, prompt.description) : prompt.description);

/** @param {Variable} variable */
export const nameVariable = ({ name }) => say(`prompts.variable_${name}`, name);

/** What a variable takes: its own description, in words of the page where they say the same. @param {Variable} variable */
export const explainVariable = ({ name, description }) => say(`prompts.about_${name}`, description);
