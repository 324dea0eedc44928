/** What can be done with the turns of a conversation: ask again, edit, copy, show a sibling, prefer, rate. */
import { del, patch, post, quote } from '../../core/api.js';
import { copyText } from '../../core/dom.js';
import { t } from '../../core/i18n.js';
import { toast, toastError } from '../../components/toast.js';
import { findLeaf } from './tree.js';

/** @param {import('../chat.js').Chat} page @returns {import('./thread.js').Actions} */
export const makeActions = (page) => ({
  retry: (turn) => page.ask({ parent: turn.parent, ...(page.rival && turn.model === page.rival.ref ? { model: page.rival.ref } : {}) }).catch(toastError),
  edit: (turn, text) => page.askAll({ parent: turn.parent, content: text }).catch(toastError),
  copy: (turn) => copyText(turn.content).then(() => toast(t('shell.copied'))),
  show: (turn) => {
    page.leaf = findLeaf(page.byParent, turn).id;
    page.drawBranch();
    patch(`conversations/${page.conversationId}`, { leaf: page.leaf }).catch(() => {}); // which branch is shown is worth no message
  },
  prefer: async (turn, others) => {
    const wasPreferred = page.preferred;
    page.preferred = new Set([...wasPreferred, turn.id].filter((id) => !others.some((other) => other.id === id)));
    page.requestUpdate();
    try {
      await post(`conversations/${page.conversationId}/turns/${turn.id}/prefer`);
      toast(t('chat.preferred_toast'), { kind: 'good' });
    } catch (error) {
      page.preferred = wasPreferred;
      page.requestUpdate();
      toastError(error);
    }
  },
  rate: async (turn, up) => {
    const before = page.ratings.get(turn.id) ?? turn.rating?.up ?? null;
    const isSame = before === up;
    page.ratings = new Map(page.ratings).set(turn.id, isSame ? null : up);
    page.requestUpdate();
    try {
      const path = `outputs/${quote(turn.output ?? '')}/rating`;
      await (isSame ? del(path) : post(path, { up }));
    } catch (error) {
      page.ratings = new Map(page.ratings).set(turn.id, before);
      page.requestUpdate();
      toastError(error);
    }
  },
});
