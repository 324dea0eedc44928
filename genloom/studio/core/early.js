// Runs before the first paint: the theme and language that were chosen in this browser.
(() => {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem('genloom.theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    root.lang = localStorage.getItem('genloom.language') || (navigator.language || 'en').slice(0, 2);
  } catch { /* storage is switched off: the system's theme and English */ }
})();
