/** The studio's start: preferences, words, the shell; then who is here, and the channel of events. */
import { loadMessages } from './core/i18n.js';
import { applyPreferences } from './core/preferences.js';

await applyPreferences();
await loadMessages('shell');
await import('./shell/shell.js');
