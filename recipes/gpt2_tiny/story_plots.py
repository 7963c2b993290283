"""The plots: what happens to a hero and a pal. Each step is one of its alternatives; so is the moral at the end.

The notation is in story_notation.py, the words in story_words.py. A plot's first step must also read well in the
middle of a sentence ("One windy morning, ..."). No sentence is optional: a story with one left out is no story.
"""

from typing import NamedTuple


class Plot(NamedTuple):
    """Steps told in order, each by one of its alternatives, and the morals that may end it."""

    steps: tuple[tuple[str, ...], ...]
    morals: tuple[str, ...]


LOST = Plot(
    steps=(
        (
            "{hero} wanted to play with {hero.his} {colour} {thing}, but it was gone.",
            "{hero} looked for {hero.his} {colour} {thing} and found only the place where it had been.",
        ),
        (
            "{hero.He} looked in all the usual places, and then in all the silly ones.",
            "{hero.He} looked under every leaf, behind every bush and inside both boots.",
            "{hero.He} asked a snail, but the snail was still thinking.",
        ),
        (
            '"Have you seen my {thing}?" {hero.he} asked {palkind.a} named {pal}. '
            '"No, but I am very good at looking," said {pal}.',
            '"I have lost my {thing}," {hero.he} told {palkind.a} named {pal}. "Then let us find it," said {pal}.',
        ),
        (
            "They searched every bit of {place}, and there, {spot}, was the {colour} {thing}, {thing.found}.",
            "Together they looked all over {place}, and {spot} they found the {colour} {thing}, {thing.found}.",
        ),
        (
            "{hero} hugged {pal} {palkind.hug}.",
            '"Hooray!" cried {hero}, and {hero.he} hugged {pal} {palkind.hug}.',
        ),
    ),
    morals=(
        "Two pairs of eyes are better than one.",
        "Lost things are easier to find with a friend.",
        "From that day on, the {thing} had its own hook by the door.",
    ),
)

FRIEND = Plot(
    steps=(
        (
            "{hero} played hide-and-seek alone, and nobody came to find {hero.him}.",
            "{hero} had nobody to play with but a pebble, and the pebble never took its turn.",
        ),
        (
            "Then, {spot}, {hero.he} saw {palkind.a} with {colour.a} {thing}.",
            "{spot.Name} {hero.he} met {palkind.a} with {colour.a} {thing}.",
        ),
        (
            '"Hello, who are you?" asked {hero}.',
            '"I am {hero}, and who are you?" asked {hero}.',
        ),
        (
            '"{pal}," whispered the {palkind}, looking at {pal.his} feet.',
            '"My name is {pal}," said the {palkind}, hiding behind the {thing}.',
        ),
        (
            '"What a fine {thing}!" said {hero}, and {pal} smiled for the first time that day.',
            "{hero} had never seen such a fine {thing}, and {hero.he} said so.",
        ),
        (
            "They took turns with the {thing}, and then they took turns being king.",
            "First they played with the {thing}, and then they pretended to be clouds.",
            "They played until the moon came up to see what the noise was.",
        ),
    ),
    morals=(
        "Sometimes a friend is only one hello away.",
        "Every old friend was once a new one.",
        "The next day {pal} came back, and the day after that, too.",
    ),
)

FOOD = Plot(
    steps=(
        (
            "{hero} packed {food.a} for lunch and found a good seat {spot}.",
            "{hero} unpacked {food.a}, sat down {spot} and opened {hero.his} mouth very wide.",
        ),
        (
            "Just then a tummy rumbled, and it was not {hero.own}.",
            "But before the first bite, somebody else's tummy rumbled.",
        ),
        (
            "It belonged to {palkind.a} named {pal}, who had "
            "[dropped {pal.his} lunch in a puddle|left {pal.his} lunch at home|lost {pal.his} lunch to a quick crow].",
        ),
        ("{hero} looked at the {food}, then at {pal}, and then at the {food} again.",),
        (
            '"Half for you and half for me," {hero.he} said at last.',
            '"There is enough for two," {hero.he} said, "if we are both polite."',
        ),
        ("{food.end}",),
    ),
    morals=(
        "Half {food.a} and a whole friend make a very good lunch.",
        "Food tastes best when it is shared.",
        "{hero} was only half full, but twice as happy.",
    ),
)

FEAR = Plot(
    steps=(
        ("{hero} {fear.meets}, and {hero.he} was afraid of {fear}.",),
        (
            "Even {hero.his} {kind.parts} trembled.",
            "{hero.He} tried to be brave, but {hero.his} {kind.parts} would not stop shaking.",
        ),
        (
            "Luckily, {palkind.a} named {pal} was sitting {spot}.",
            "Just then {palkind.a} named {pal}, who had been napping {spot}, woke up.",
        ),
        (
            '"I am afraid of {fear}," said {hero} in a very small voice.',
            '"Please do not laugh," said {hero}, "but I am afraid of {fear}."',
        ),
        (
            '"{fear.truth}," said {pal}, "and I will come with you."',
            '"{fear.truth}," said {pal}, "and you can hold on to me."',
        ),
        (
            "They sang a long song about soup, and by the last line {hero} had forgotten to be afraid.",
            "They went on together, counting every step, and at step ten {hero} began to smile.",
        ),
    ),
    morals=(
        "Being brave is being afraid and going on anyway.",
        "A fear gets smaller when you say it out loud.",
        "After that, {hero} was only a little afraid of {fear}, and only on Mondays.",
    ),
)

BUILD = Plot(
    steps=(
        (
            "{hero} decided to build {project.a} out of {project.from}.",
            "{hero} collected {project.from} and began to build {project.a}.",
        ),
        ("The first {project} {project.fails}.",),
        (
            '"Bother," said {hero}.',
            '"It is not quite finished," {hero} told a passing beetle.',
        ),
        (
            '"My uncle once saw {project.a}," said {palkind.a} named {pal}, who was having tea {spot}.',
            '"I can hold the other end," said {palkind.a} named {pal}, who was having tea {spot}.',
        ),
        (
            "So they tried again, with twice the help and half the hurry.",
            "So they tried again, and {pal} checked everything twice.",
        ),
        ("This time the {project} {project.works}.",),
    ),
    morals=(
        "The second try is often the best one.",
        "Big jobs get smaller when you share them.",
        '"Next week," said {pal}, "we should build two."',
    ),
)

STORM = Plot(
    steps=(
        ("{hero} was out for a walk when {storm.starts}.",),
        ("Luckily, {hero.he} had brought {hero.his} {colour} {shelter}, and {hero.he} crept under it.",),
        (
            "Soon {palkind.a} named {pal} came by, as wet as a sock.",
            "Soon {palkind.a} named {pal} {palkind.went} past, dripping like a tap.",
        ),
        (
            '"Come in under my {shelter}!" called {hero}, and they both breathed in.',
            '"There is room for you here," called {hero}, although there was not much.',
        ),
        (
            "{pal} told a joke about a fish, and {hero} laughed until the {shelter} shook.",
            "A snail came in, too, and {pal} moved over to make room for its house.",
        ),
    ),
    morals=(
        "Even a small {shelter} is big enough for a friend.",
        "Bad weather is much better with good company.",
        "When the {storm} stopped, nobody wanted to go home.",
    ),
)

GIFT = Plot(
    steps=(
        (
            "{hero} made {gift.a} for {pal} the {palkind}, because it was {pal.his} birthday.",
            "{hero} remembered that {pal} the {palkind} had a birthday, so {hero.he} made {pal.him} {gift.a}.",
        ),
        (
            "It was {hero.his} first {gift} and also {hero.his} best, but on the way {gift.oops}.",
            "{hero.He} did not even stop for butterflies, but just before {hero.he} got there, {gift.oops}.",
        ),
        (
            "{hero} found {pal} {spot} and could not think of what to say.",
            "{pal} was waiting {spot}, and {hero} had nothing to give.",
        ),
        ('"I made you {gift.a}, but {gift.oops}," {hero.he} said.',),
        (
            '"That is the best story I have heard all year," said {pal}, laughing until {pal.he} fell over.',
            '"A story is a fine present," said {pal}, "and you are an even better one."',
        ),
    ),
    morals=(
        "The best presents do not need any paper.",
        "Then they shared the birthday cake, and {pal} gave {hero} the bigger slice.",
        "Some presents are things, and some are friends.",
    ),
)

SORRY = Plot(
    steps=(
        (
            "{hero} borrowed {colour.a} {thing} from {pal} the {palkind}.",
            "{hero} asked {pal} the {palkind} to lend {hero.him} {colour.a} {thing}.",
        ),
        (
            "{hero.He} was very careful, right up to the moment when {thing.broke}.",
            "Everything went well until {hero.he} tripped, and {thing.broke}.",
        ),
        (
            "{hero.He} could have hidden it {spot}, or said that a beetle did it.",
            "{hero.He} thought about hiding it {spot}, and {hero.his} tummy felt like cold porridge.",
        ),
        (
            'Instead {hero.he} {kind.went} straight to {pal} and said, "I broke your {thing}, and I am sorry."',
            'Instead {hero.he} told the truth and said, "{pal}, I broke your {thing}, and I am sorry."',
        ),
        (
            '"I broke it once myself," said {pal}, "but I never told anyone."',
            '"Thank you for telling me," said {pal}, and {pal.he} put the kettle on.',
        ),
        (
            "They mended it together, and after that the {thing} had a funny bump.",
            "They mended it with string and honey, and it smelled better than before.",
        ),
    ),
    morals=(
        "The truth is heavy until you put it down.",
        "A mended {thing} is {thing.a} with a story.",
        "It is easier to say sorry than to hide {thing.a}.",
    ),
)

LEARN = Plot(
    steps=(
        (
            "{hero} wanted to learn how to {skill} more than anything.",
            "{hero} decided that it was time to learn how to {skill}.",
        ),
        ("{skill.misses}",),
        (
            '"How did you learn?" {hero.he} asked {palkind.a} named {pal}, who was very good at it.',
            '"Please teach me," {hero.he} said to {palkind.a} named {pal}, who was very good at it.',
        ),
        (
            '"I was bad at it for a long time," said {pal}, "and then one day I was not."',
            '"The trick," said {pal}, "is to be bad at it first."',
        ),
        (
            "So {hero} tried again {spot}, and {pal} clapped every time, even when it went wrong.",
            "So {hero} went on trying {spot}, until the stars came out to watch.",
        ),
        ("At last {hero} {skill.works}.",),
    ),
    morals=(
        "Everyone is bad at things before they are good at them.",
        "Nobody learns without falling over a little.",
        '"Now," said {hero}, "I will teach a beetle."',
    ),
)

PLOTS = (LOST, FRIEND, FOOD, FEAR, BUILD, STORM, GIFT, SORRY, LEARN)
