/** The pages: their element, where they are in the navigation, and how they are loaded. */

/**
 * @typedef {object} PageEntry
 * @property {string} name in the address, and of its catalogue and style sheet
 * @property {string} tag its element
 * @property {import('../components/parts.js').IconName} icon
 * @property {'create' | 'learn' | 'build' | 'machine'} group
 * @property {string} scope without which the page is not offered
 * @property {boolean} [onPhone] in the bar at the bottom of a small screen
 * @property {string} key after "g"
 * @property {() => Promise<unknown>} load
 */

/** @type {PageEntry[]} */
export const PAGES = [
  { name: 'make', tag: 'gl-make', icon: 'sparkles', group: 'create', scope: 'generate', onPhone: true, key: 'm', load: () => import('../pages/make.js') },
  { name: 'chat', tag: 'gl-chat', icon: 'messagesSquare', group: 'create', scope: 'generate', onPhone: true, key: 'c', load: () => import('../pages/chat.js') },
  { name: 'prompts', tag: 'gl-prompts', icon: 'library', group: 'create', scope: 'generate', key: 'p', load: () => import('../pages/prompts.js') },
  { name: 'designs', tag: 'gl-designs', icon: 'box', group: 'create', scope: 'generate', key: 'e', load: () => import('../pages/designs.js') },
  { name: 'speech', tag: 'gl-speech', icon: 'volume2', group: 'create', scope: 'generate', key: 'k', load: () => import('../pages/speech.js') },
  { name: 'gallery', tag: 'gl-gallery', icon: 'images', group: 'create', scope: 'read', onPhone: true, key: 'a', load: () => import('../pages/gallery.js') },
  { name: 'arena', tag: 'gl-arena', icon: 'scale', group: 'learn', scope: 'rate', onPhone: true, key: 'r', load: () => import('../pages/arena.js') },
  { name: 'teach', tag: 'gl-teach', icon: 'graduationCap', group: 'learn', scope: 'read', key: 'h', load: () => import('../pages/teach.js') },
  { name: 'data', tag: 'gl-data', icon: 'database', group: 'build', scope: 'read', key: 'd', load: () => import('../pages/data.js') },
  { name: 'train', tag: 'gl-train', icon: 'trendingUp', group: 'build', scope: 'train', key: 't', load: () => import('../pages/train.js') },
  { name: 'models', tag: 'gl-models', icon: 'shapes', group: 'build', scope: 'read', key: 'o', load: () => import('../pages/models.js') },
  { name: 'verify', tag: 'gl-verify', icon: 'shieldCheck', group: 'machine', scope: 'generate', key: 'v', load: () => import('../pages/verify.js') },
  { name: 'system', tag: 'gl-system', icon: 'cpu', group: 'machine', scope: 'admin', key: 's', load: () => import('../pages/system.js') },
];
