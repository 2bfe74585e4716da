// How large the pictures of a grid can be. A pure function.

const usual = 16 / 9;
const smallest = 300; // px: below that a picture is better scrolled to than shrunk

// layout finds the size in px of each of `count` equal slots, as large as a box
// of `width` × `height` allows. One picture gets all of the box. When many would
// get too small, `scrolls` says that the slots are higher together than the box.
export function layout(count, width, height, gap) {
  if (count <= 1) {
    return { width, height, scrolls: false };
  }
  let best = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const across = share(width, columns, gap);
    const down = share(height, rows, gap);
    best = Math.max(best, Math.min(across, down * usual));
  }
  const scrolls = best < smallest;
  if (scrolls) {
    best = share(width, Math.max(1, Math.floor((width + gap) / (smallest + gap))), gap);
  }
  return { width: Math.floor(best), height: Math.floor(best / usual), scrolls };
}

const share = (length, parts, gap) => (length - gap * (parts - 1)) / parts;
