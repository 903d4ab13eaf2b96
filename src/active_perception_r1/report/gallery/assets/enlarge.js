"use strict";
// A picture as large as the window allows, every pixel a square where there are few.

const enlarged = byId("enlarged");
const ENLARGED_PIXELS = 512; // below, pixels are shown as squares

function enlarge(picture) {
  const { src, alt } = picture.querySelector("img");
  const [width, height] = ["width", "height"].map((side) => Number(picture.dataset[side]));
  const image = make("img", { src, alt, width, height });
  const room = Math.min((innerWidth * 0.9) / width, (innerHeight * 0.8) / height);
  const scale = room > 1 && Math.max(width, height) <= ENLARGED_PIXELS ? Math.floor(room) : 1;
  image.style.width = `${width * scale}px`;
  image.style.height = "auto";
  image.classList.toggle("squares", scale > 1);
  byId("caption").textContent = `${alt}, ${width} × ${height} pixels${scale > 1 ? `, each ${scale} × ${scale}` : ""}`;
  byId("canvas").replaceChildren(image);
  enlarged.showModal();
}

byId("close").addEventListener("click", () => enlarged.close());
enlarged.addEventListener("click", (event) => event.target === enlarged && enlarged.close());
