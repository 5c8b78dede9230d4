// Makes the page quicker to use; without it, its form still works.
const part = document.querySelector("#try");
