"""Sentences to read: a small grammar for some languages, invented words for the others."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Grammar:
    """The parts of a sentence in order; a sentence may omit the last ones."""

    subjects: tuple[str, ...]
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    places: tuple[str, ...]
    times: tuple[str, ...]


GRAMMARS = {
    "en": Grammar(
        (
            "the old fisherman", "a young doctor", "my neighbour", "the judge", "our teacher",
            "every child", "nobody", "the orchestra", "a stranger", "the engineer",
            "the shopkeeper", "your cousin", "a pair of thieves", "the mayor", "the zookeeper",
        ),
        (
            "bought", "painted", "forgot", "repaired", "measured", "described", "shook",
            "counted", "polished", "dropped", "examined", "hid", "weighed", "wished for", "chose",
        ),
        (
            "a wooden bridge", "the yellow suitcase", "five pieces of jewellery", "his thumb",
            "the broken clock", "a jar of vinegar", "eighty sheets of paper", "the whole truth",
            "a vague message", "the rough edge", "some fresh bread", "a huge shadow",
            "the church choir", "two quiet horses", "an unusual measure",
        ),
        (
            "by the river", "in the kitchen", "under the stairs", "at the station",
            "behind the theatre", "on the roof", "near the harbour", "across the valley",
        ),
        (
            "last Thursday", "before sunrise", "in nineteen eighty-four", "again and again",
            "without a word", "with great pleasure", "for the third time", "at half past six",
        ),
    ),
    "de": Grammar(
        (
            "der alte Fischer", "die junge Ärztin", "mein Nachbar", "unsere Lehrerin",
            "jedes Kind", "niemand", "das Orchester", "ein Fremder", "der Bürgermeister",
        ),
        (
            "kaufte", "zeichnete", "vergaß", "reparierte", "beschrieb", "zählte", "suchte",
            "versteckte", "prüfte", "wünschte",
        ),
        (
            "eine hölzerne Brücke", "den gelben Koffer", "fünf schöne Äpfel", "die ganze Wahrheit",
            "das zerbrochene Glas", "zwei ruhige Pferde", "einen großen Schlüssel",
            "frisches Brot", "achtzig Bücher",
        ),
        (
            "am Fluss", "in der Küche", "unter der Treppe", "am Bahnhof", "auf dem Dach",
            "hinter der Kirche",
        ),
        ("vor Sonnenaufgang", "ohne ein Wort", "immer wieder", "um halb sieben", "zum Vergnügen"),
    ),
    "fr": Grammar(
        (
            "le vieux pêcheur", "une jeune femme", "mon voisin", "notre maître", "chaque enfant",
            "personne", "le juge", "un inconnu", "la cuisinière",
        ),
        (
            "achetait", "dessinait", "oubliait", "réparait", "cherchait", "comptait", "cachait",
            "regardait", "choisissait",
        ),
        (
            "un pont de bois", "la valise jaune", "cinq bijoux", "toute la vérité",
            "une horloge cassée", "du pain frais", "quatre-vingts feuilles", "deux chevaux gris",
            "un bon vin blanc",
        ),
        (
            "au bord du fleuve", "dans la cuisine", "sous l'escalier", "à la gare", "sur le toit",
            "derrière l'église",
        ),
        ("avant l'aube", "sans un mot", "encore une fois", "jeudi dernier"),
    ),
    "es": Grammar(
        (
            "el viejo pescador", "una joven médica", "mi vecino", "nuestra maestra", "cada niño",
            "nadie", "la orquesta", "un extraño", "el juez",
        ),
        (
            "compró", "dibujó", "olvidó", "arregló", "buscó", "contó", "escondió", "midió",
            "eligió",
        ),
        (
            "un puente de madera", "la maleta amarilla", "cinco joyas", "toda la verdad",
            "el reloj roto", "pan caliente", "ochenta hojas", "dos caballos grises",
            "una guitarra vieja",
        ),
        (
            "junto al río", "en la cocina", "bajo la escalera", "en la estación",
            "sobre el tejado", "detrás de la iglesia",
        ),
        ("antes del alba", "sin una palabra", "otra vez", "a las seis y media", "el jueves"),
    ),
    "it": Grammar(
        (
            "il vecchio pescatore", "una giovane dottoressa", "il mio vicino",
            "la nostra maestra", "ogni bambino", "nessuno", "l'orchestra", "uno straniero",
        ),
        (
            "comprava", "disegnava", "dimenticava", "riparava", "cercava", "contava",
            "nascondeva", "sceglieva",
        ),
        (
            "un ponte di legno", "la valigia gialla", "cinque gioielli", "tutta la verità",
            "l'orologio rotto", "il pane fresco", "ottanta fogli", "due cavalli grigi",
        ),
        (
            "vicino al fiume", "in cucina", "sotto le scale", "alla stazione", "sul tetto",
            "dietro la chiesa",
        ),
        ("prima dell'alba", "senza una parola", "ancora una volta", "alle sei e mezza"),
    ),
}  # fmt: skip
_ONSETS = (
    "",
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "j",
    "h",
    "st",
    "kr",
)
_CODAS = ("", "", "", "n", "r", "s", "l", "t", "m")


def sentences(language: str, count: int, source: random.Random) -> str:
    """`count` sentences for a voice of that language (an espeak-ng name such as `en-gb`)."""
    grammar = GRAMMARS.get(language.partition("-")[0])
    made = [_made_up(source) if grammar is None else _of(grammar, source) for _ in range(count)]
    return " ".join(made)


def _of(grammar: Grammar, source: random.Random) -> str:
    parts = [source.choice(grammar.subjects), source.choice(grammar.verbs)]
    parts.append(source.choice(grammar.objects))
    if source.random() < 0.7:
        parts.append(source.choice(grammar.places))
    if source.random() < 0.5:
        parts.append(source.choice(grammar.times))
    text = " ".join(parts)
    return text[0].upper() + text[1:] + source.choice(".......!?")


def _made_up(source: random.Random) -> str:
    words = [_word(source) for _ in range(source.randint(4, 10))]
    if len(words) > 6:
        words[3] += ","
    text = " ".join(words)
    return text[0].upper() + text[1:] + source.choice("....!?")


def _word(source: random.Random) -> str:
    syllables = source.choices((1, 2, 3, 4), (2, 4, 3, 1))[0]
    return "".join(
        source.choice(_ONSETS) + source.choice("aaeeioou") + source.choice(_CODAS)
        for _ in range(syllables)
    )
