"""The words of the stories: tables of names, animals, places and things. The notation is in story_notation.py."""

Row = dict[str, str]


def table(columns: str, *rows: tuple[str, ...]) -> list[Row]:
    """Return the rows as dictionaries over the space-separated `columns`."""
    return [dict(zip(columns.split(), row, strict=True)) for row in rows]


def words(text: str) -> list[Row]:
    """Return one row a word, with no field but its name."""
    return [{"name": word} for word in text.split()]


SHE = words("Ada Clara Hazel Ivy Juno Lily Maud Mia Nell Poppy Rosie Tilly")
HE = words("Ben Finn Gus Hugo Leo Max Milo Oscar Otto Sam Theo Tom")

NAMES = [{**row, "he": "she", "him": "her", "his": "her", "own": "hers"} for row in SHE] + [
    {**row, "he": "he", "him": "him", "his": "his", "own": "his"} for row in HE
]

ANIMALS = table(
    "name home went parts hug",
    ("rabbit", "a warm burrow", "hopped", "ears", "with both arms"),
    ("mouse", "an old teapot", "scurried", "whiskers", "very gently"),
    ("fox", "a tidy den", "trotted", "whiskers", "with both arms"),
    ("duck", "a nest of reeds", "waddled", "feathers", "with both wings"),
    ("squirrel", "a hollow tree", "scampered", "ears", "until they both fell over"),
    ("hedgehog", "a pile of leaves", "shuffled", "prickles", "very carefully"),
    ("frog", "a leaky bucket", "hopped", "toes", "until they both fell over"),
    ("mole", "a long tunnel", "shuffled", "whiskers", "after finding the right end"),
    ("bear", "a round cave", "strolled", "ears", "as far around as possible"),
    ("owl", "an empty barrel", "flapped", "feathers", "with both wings"),
    ("otter", "a house of sticks", "bounced", "whiskers", "with both arms"),
    ("badger", "a muddy hole with a red door", "marched", "stripes", "very gently"),
)

TRAITS = words("cheerful curious careful sleepy busy polite stubborn hungry tidy untidy")

PLACES = table(
    "name by",
    ("the pond", "by the pond"),
    ("the garden", "in the garden"),
    ("the hill", "on the hill"),
    ("the forest", "in the forest"),
    ("the orchard", "in the orchard"),
    ("the meadow", "in the meadow"),
    ("the beach", "on the beach"),
    ("the old mill", "by the old mill"),
)

#: Where things are found and friends are met: three spots to a place.
SPOTS = table(
    "place name",
    ("the pond", "under the willow tree"),
    ("the pond", "behind the tall reeds"),
    ("the pond", "beside the little bridge"),
    ("the garden", "under the rose bush"),
    ("the garden", "behind the biggest pumpkin"),
    ("the garden", "next to the flowerpots"),
    ("the hill", "beside the round rock"),
    ("the hill", "behind the old gate"),
    ("the hill", "in the long grass"),
    ("the forest", "under a giant fern"),
    ("the forest", "behind the fattest oak"),
    ("the forest", "next to a mossy log"),
    ("the orchard", "under the oldest apple tree"),
    ("the orchard", "behind the ladder"),
    ("the orchard", "beside the pear baskets"),
    ("the meadow", "among the daisies"),
    ("the meadow", "behind the haystack"),
    ("the meadow", "next to the beehive"),
    ("the beach", "next to the seaweed"),
    ("the beach", "behind the sand castle"),
    ("the beach", "beside a rock pool"),
    ("the old mill", "behind the flour sacks"),
    ("the old mill", "under the water wheel"),
    ("the old mill", "beside the mill door"),
)

SKIES = table(
    "name when",
    ("sunny", "the sun was as yellow as butter"),
    ("foggy", "the fog was as thick as porridge"),
    ("frosty", "the frost crunched like toast"),
    ("windy", "the wind was stealing hats"),
    ("cloudy", "the clouds looked like sheep"),
    ("misty", "the mist smelled of mushrooms"),
)

#: A habit of the hero ("a fox named Gus who ..."), and how the last sentence comes back to it.
QUIRKS = table(
    "name again",
    ("could count to eleven, and often did", "Then {hero} counted to eleven, just because {hero.he} could."),
    ("hummed when {hero.he} was happy, which was most days", "{hero} hummed all the way home."),
    ("liked naps, jam and long words", "That night {hero} fell asleep with jam on {hero.his} nose."),
    (
        "gave a name to every stone {hero.he} found",
        "On the way home {hero} found a round stone and named it Gerald.",
    ),
    ("had the loudest sneeze for miles around", "Then {hero} sneezed so loudly that three apples fell off a tree."),
    ("wore a yellow scarf, even in summer", "That night {hero} slept in {hero.his} yellow scarf, as always."),
    (
        "said good morning to every beetle {hero.he} met",
        "On the way home {hero} said good night to every single beetle.",
    ),
    ("was rather small but had very big plans", 'Before bed {hero} said, "Tomorrow I will have an even bigger plan."'),
    ("kept a list of all the best puddles", "Before bed {hero} added one more puddle to {hero.his} list."),
    ("was a pirate, but only on Tuesdays", "And because it was a Tuesday, {hero} sailed home as a pirate."),
)

COLOURS = words("red blue green orange yellow purple silver striped spotted")

#: `found`: who else was there when it turned up. `broke`: what happened to it in careful hands.
THINGS = table(
    "name found broke",
    ("kite", "with a snail rolled up in it", "the string snapped"),
    ("drum", "with a beetle dancing on it", "the top went pop"),
    ("umbrella", "with three snails under it, just in case", "it turned inside out"),
    ("hat", "with a family of ants living in it", "the top fell off"),
    ("boat", "with a beetle for a captain", "the mast fell off"),
    ("ball", "with a snail halfway up one side", "it went flat with a sigh"),
    ("bell", "with a moth fast asleep inside it", "the ding fell out"),
    ("spoon", "with an ant looking at its own face in it", "it bent in the middle"),
    ("lantern", "with a moth beside it, reading a very small book", "the glass cracked"),
    ("trumpet", "with a beetle using it as a slide", "it got stuck on one note"),
)

FOODS = table(
    "name end",
    ("plum cake", "They ate until only one crumb was left, and they gave that to an ant."),
    ("blueberry pie", "They ate until their faces were blue."),
    ("honey cake", "They ate until everything was sticky, even the grass."),
    ("apple pie", "They ate so slowly that the sun went off to its own supper."),
    ("onion pie", "They ate and cried and said that it was only the onions."),
    ("cheese tart", "They ate all but the crust, and a beetle rolled that away."),
    ("jam tart", "They ate it in tiny bites, to make it last."),
    ("nut loaf", "They ate with their eyes closed, because it was that good."),
)

#: `meets`: what the hero was doing when it came. `truth`: what the friend knows about it.
FEARS = table(
    "name meets truth",
    ("the dark", "played for so long that the sun went down", "The dark is only the day with its eyes closed"),
    ("thunder", "heard the sky begin to grumble", "Thunder is only the sky moving its chairs"),
    ("bridges", "came to a wobbly bridge", "A bridge is only a path holding its breath"),
    ("deep water", "had to cross a stream", "Deep water is only rain having a rest"),
    ("strange noises", "heard something go hoo in the bushes", "A strange noise is only a noise you have not met"),
    ("the wind", "heard the wind begin to howl", "The wind is only the air looking for its hat"),
    ("shadows", "saw something long and black on the path", "A shadow is only you, lying down"),
)

PROJECTS = table(
    "name from fails works",
    ("raft", "six logs and some string", "sank with a sad little gulp", "floated like a leaf"),
    ("swing", "a plank and an old rope", "dropped {hero.him} into a puddle", "went so high that it touched the leaves"),
    ("cart", "a box and four round cheeses", "lost all its wheels at once", "rolled along without losing a wheel"),
    ("tower", "stones and mud", "leaned to the left and then lay down", "stood so straight that a bird sat on it"),
    ("tent", "two sticks and a blanket", "fell on {hero.his} head", "stayed up, even when {pal} sneezed"),
    ("bridge", "a plank and some mud", "snapped in the middle", "was strong enough for two friends and a beetle"),
)

STORMS = table(
    "name starts",
    ("rain", "it began to rain in big, fat drops"),
    ("snow", "it began to snow, and the flakes were as big as feathers"),
    ("hail", "it began to hail, and the hail was as big as peas"),
)

SHELTERS = words("umbrella blanket tablecloth raincoat")

#: `oops`: what happened to it on the way, to be told twice.
GIFTS = table(
    "name oops",
    ("daisy crown", "a sheep ate it"),
    ("paper lantern", "the wind took it away"),
    ("painted egg", "it rolled away and did not come back"),
    ("shell necklace", "a snail wanted its shell back"),
    ("mud pie", "a goose sat on it"),
    ("jam tart", "a crow stole it"),
    ("feather hat", "all the feathers blew away"),
    ("acorn whistle", "the acorn began to grow"),
)

SKILLS = table(
    "name misses works",
    ("whistle", "All that came out was a damp puff.", "blew one clear note, and a bird answered"),
    (
        "juggle",
        "The pears came down on {hero.his} head, one after the other.",
        "kept three pears in the air while {pal} counted to ten",
    ),
    ("dance", "{hero.His} feet had an argument, and both of them lost.", "danced once around {pal} without falling"),
    (
        "stand on one leg",
        "{hero.He} fell over to the left, then to the right, and then in the middle.",
        "stood on one leg for as long as it takes to eat a plum",
    ),
    ("turn a cartwheel", "It looked like a sack of potatoes on the stairs.", "went over and around like a real wheel"),
    (
        "play the flute",
        "It sounded like a door with a cold.",
        "played a tune so sweet that even the snails hurried over",
    ),
    ("tie a bow", "{hero.He} tied {hero.his} own nose to a bush.", "tied a bow so fine that nobody dared to undo it"),
)
