// The chosen theme, before anything is drawn. A page opened from disk may have no storage.
try {
  const theme = localStorage.getItem("phenolip-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* the system's theme */ }
