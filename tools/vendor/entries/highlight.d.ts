import highlight from 'highlight.js/lib/core';
export { highlight };
