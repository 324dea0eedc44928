/** What a person chose for this browser. */
import { LANGUAGES, language, setLanguage } from './i18n.js';
import { createSetting } from './store.js';

export const theme = createSetting('theme', 'auto');
export const chosenLanguage = createSetting('language', '');

/** @param {string} now */
function showTheme(now) {
  if (now === 'light' || now === 'dark') document.documentElement.dataset.theme = now;
  else delete document.documentElement.dataset.theme;
}
theme.subscribe(showTheme);

/** The language that was chosen, else the first of the browser's that there is. */
export function findLanguage() {
  const wanted = [chosenLanguage.get(), ...navigator.languages].map((code) => code.slice(0, 2));
  return wanted.find((code) => code in LANGUAGES) ?? 'en';
}

export async function applyPreferences() {
  showTheme(theme.get());
  const code = findLanguage();
  document.documentElement.lang = code;
  if (code !== language.get()) await setLanguage(code);
}
