/** Draws, and what is due to chance. */

/** A whole number from 0 to below `count`, each as probable, from the browser's secure source. */
export function draw(count) {
  const most = 2 ** 32 - (2 ** 32 % count); // more would make the low numbers more probable
  const word = new Uint32Array(1);
  do crypto.getRandomValues(word);
  while (word[0] >= most);
  return word[0] % count;
}

/** How probable at least `right` right answers of `trials` are for one who guesses: the one-sided
 * binomial test, exact. */
export function byGuessing(right, trials) {
  let ways = 0;
  for (let k = 0, choices = 1; k <= trials; k++) {
    if (k >= right) ways += choices;
    choices = (choices * (trials - k)) / (k + 1);
  }
  return ways / 2 ** trials;
}
