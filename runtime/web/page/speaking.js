/**
 * Answers to hear, by the browser's own voice. A voice reads letters, not phonemes, so ARPAbet
 * becomes letters that sound about like it; any other answer is read as it is.
 */

const SOUNDS = {
  ...{ AA: "ah", AE: "a", AH: "uh", AO: "aw", AW: "ow", AY: "eye", EH: "eh", ER: "er", EY: "ay" },
  ...{ IH: "ih", IY: "ee", OW: "oh", OY: "oy", UH: "oo", UW: "oo", B: "b", CH: "ch", D: "d" },
  ...{ DH: "th", F: "f", G: "g", HH: "h", JH: "j", K: "k", L: "l", M: "m", N: "n", NG: "ng" },
  ...{ P: "p", R: "r", S: "s", SH: "sh", T: "t", TH: "th", V: "v", W: "w", Y: "y", Z: "z" },
  ZH: "zh",
};
const VOWEL = /^[AEIOU]/;

export const canSpeak = "speechSynthesis" in globalThis;

/** An answer in letters: syllables of a pronunciation with hyphens, or its text. */
export function respelled(answer) {
  const sounds = answer.symbols.map((symbol) => symbol.replace(/\d$/, ""));
  if (!sounds.length || sounds.some((sound) => !(sound in SOUNDS))) {
    return answer.text;
  }
  const syllables = [""];
  sounds.forEach((sound, place) => {
    // A consonant before a vowel begins a syllable, once one is full; so does a vowel behind one.
    const [before = "", next = ""] = [sounds[place - 1], sounds[place + 1]];
    const begins = VOWEL.test(sound) ? VOWEL.test(before) : VOWEL.test(next);
    if (begins && sounds.slice(0, place).some((one) => VOWEL.test(one))) {
      syllables.push("");
    }
    syllables[syllables.length - 1] += SOUNDS[sound];
  });
  return syllables.join("-");
}

export function speak(text) {
  speechSynthesis.cancel();
  speechSynthesis.speak(new SpeechSynthesisUtterance(text));
}
