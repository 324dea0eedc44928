"""Phonemes of English words that no dictionary has: a small recurrent network reads their letters.

The weights are those of g2p_en (Park and Kim), as arrays of NumPy. Shape letters: E the width of the states.
"""

from pathlib import Path

import numpy as np

_LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
_PHONEMES = (
    "<pad> <unk> <s> </s> AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 "
    "EH2 ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH "
    "UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"
)  # fmt: skip
_VOCABULARY = tuple(_PHONEMES.split(" "))
_START, _END = _VOCABULARY.index("<s>"), _VOCABULARY.index("</s>")
_MAX_LETTERS, _MAX_PHONEMES = 40, 48

# ARPAbet to the phonemes of Kokoro, whose capitals are diphthongs.
_CONSONANTS = {
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_VOWELS = {
    "AA": "ɑ", "AE": "æ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "EY": "A", "IH": "ɪ", "IY": "i", "OW": "O",
    "OY": "Y", "UH": "ʊ", "UW": "u",
}  # fmt: skip
_BRITISH = {"æ": "a", "O": "Q", "ɑ": "ɒ", "ɔ": "ɔː", "i": "iː", "u": "uː", "ɜɹ": "ɜː", "əɹ": "ə"}
_STRESS = {"1": "ˈ", "2": "ˌ"}


def convert_arpabet(phones: list[str], is_british: bool) -> str:
    """Return the phonemes of Kokoro for those of the CMU dictionary; a stress stands before its vowel."""
    parts: list[str] = []
    for index, phone in enumerate(phones):
        base, stress = (phone[:-1], phone[-1]) if phone[-1:].isdigit() else (phone, "")
        if base in _CONSONANTS:
            is_silent = is_british and base == "R" and not any(s[-1:].isdigit() for s in phones[index + 1 : index + 2])
            parts.append("" if is_silent else _CONSONANTS[base])
            continue
        if base == "AH":
            vowel = "ə" if stress == "0" else "ʌ"
        elif base == "ER":
            vowel = "əɹ" if stress == "0" else "ɜɹ"
        else:
            vowel = _VOWELS.get(base, "")
            if is_british and vowel == "ɑ" and phones[index + 1 : index + 2] == ["R"]:
                vowel = "ɑː"
        parts.append(_STRESS.get(stress, "") + (_BRITISH.get(vowel, vowel) if is_british else vowel))
    return "".join(parts)


class SpellingNetwork:
    """An encoder and a decoder of one GRU cell each: letters to phonemes of the CMU dictionary."""

    def __init__(self, path: Path):
        with np.load(path, allow_pickle=False) as arrays:
            self.weights = {name: arrays[name].astype(np.float32) for name in arrays.files}

    def pronounce(self, word: str) -> list[str]:
        """Return the phonemes of a word in letters from a to z."""
        state_E = np.zeros(self.weights["enc_w_hh"].shape[1], np.float32)
        for letter in [*word.lower()[:_MAX_LETTERS], "</s>"]:
            index = _LETTERS.index(letter) if letter in _LETTERS else 1
            state_E = self._step(self.weights["enc_emb"][index], state_E, "enc")
        phones: list[str] = []
        phoneme = _START
        for _ in range(_MAX_PHONEMES):
            state_E = self._step(self.weights["dec_emb"][phoneme], state_E, "dec")
            phoneme = int((self.weights["fc_w"] @ state_E + self.weights["fc_b"]).argmax())
            if phoneme == _END:
                break
            phones.append(_VOCABULARY[phoneme])
        return [phone for phone in phones if not phone.startswith("<")]

    def _step(self, input_E: np.ndarray, state_E: np.ndarray, part: str) -> np.ndarray:
        width = len(state_E)
        weights = self.weights
        from_input = weights[f"{part}_w_ih"] @ input_E + weights[f"{part}_b_ih"]
        from_state = weights[f"{part}_w_hh"] @ state_E + weights[f"{part}_b_hh"]
        reset = sigmoid(from_input[:width] + from_state[:width])
        update = sigmoid(from_input[width : 2 * width] + from_state[width : 2 * width])
        candidate = np.tanh(from_input[2 * width :] + reset * from_state[2 * width :])
        return (1 - update) * candidate + update * state_E


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
