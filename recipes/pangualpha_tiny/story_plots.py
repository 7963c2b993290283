"""故事的情节: what happens to a hero and a pal. Each step is one of its alternatives; so is the moral at the end.

The notation is in recipes/common/story_notation.py, the words in story_words.py. A first step follows "一天早上，".
No sentence is optional: a story with one left out is no story. The pal is made known before being named alone.
"""

from typing import NamedTuple


class Plot(NamedTuple):
    """Steps told in order, each by one of its alternatives, and the morals that may end it."""

    steps: tuple[tuple[str, ...], ...]
    morals: tuple[str, ...]


LOST = Plot(
    steps=(
        (
            "{hero}发现{colour}的{thing}不见了。",
            "{hero}想找{colour}的{thing}，可是{thing}不见了。",
        ),
        (
            "{kind.he}找遍了{kind.home}，也没有找到。",
            "{kind.he}问了蜗牛，又问了蚂蚁，大家都说没看见。",
            "{kind.he}急得团团转，差点哭了出来。",
        ),
        (
            "这时，{palkind.one}名叫{pal}的{palkind}{palkind.went}走了过来。",
            "这时，{kind.he}遇到了{palkind.one}{palkind}，名叫{pal}。",
        ),
        (
            "“你怎么了？”{pal}问。“我的{thing}丢了。”{hero}说。",
            "“我的{thing}丢了。”{hero}说。“我们一起找吧！”{pal}说。",
        ),
        (
            "两个小伙伴找啊找，终于在{spot}找到了{thing.that}{colour}的{thing}。",
            "{pal}的眼睛真尖，一下子就看见{thing.that}{colour}的{thing}在{spot}。",
        ),
        (
            "“谢谢你，{pal}！”{hero}高兴地说。",
            "{hero}抱住{pal}，高兴得跳了起来。",
        ),
    ),
    morals=(
        "从此，{hero}再也不乱丢{thing}了。",
        "从此，{hero}和{pal}天天在一起玩。",
        "有朋友帮忙，丢了的东西也会回来。",
    ),
)

SEEK = Plot(
    steps=(
        (
            "{hero}的{elder}生病了，躺在床上起不来。",
            "{hero}的{elder}生病了，一直咳个不停。",
        ),
        (
            "山羊大夫说：“只要有{remedy.one}{remedy}，病就会好。”",
            "山羊大夫说：“{elder}需要{remedy.one}{remedy}。”",
        ),
        (
            "{hero}听了，马上到{remedy.where}去找{remedy}。",
            "{hero}背上小包，要到{remedy.where}去找{remedy}。",
        ),
        ("可是半路上，{obstacle.meets}。",),
        (
            "幸好，{palkind.one}名叫{pal}的{palkind}{obstacle.helped}。",
            "这时，{kind.he}遇到了{palkind.one}{palkind}，名叫{pal}。{pal}{obstacle.helped}。",
        ),
        (
            "{hero}和{pal}来到{remedy.where}，找到了{remedy}。",
            "{pal}陪着{hero}，在{remedy.where}找到了{remedy.one}{remedy}。",
        ),
        (
            "{elder}{remedy.used}{remedy}，第二天病就好了。",
            "{elder}{remedy.used}{remedy}，脸上有了笑容。",
        ),
    ),
    morals=(
        "{elder}夸{hero}是个好孩子。",
        "从此，{hero}多了一个好朋友，那就是{pal}。",
        "爱能翻过高山，也能走过黑夜。",
    ),
)

SHARE = Plot(
    steps=(
        (
            "{hero}带着{food.one}{food}，来到{spot}。",
            "{hero}坐在{spot}，拿出了{food.one}{food}。",
        ),
        (
            "{kind.he}刚要吃，忽然听见咕咕的叫声。",
            "{kind.he}张大了嘴，忽然听见有人叹气。",
        ),
        (
            "原来是{palkind.one}名叫{pal}的{palkind}，已经一天没吃东西了。",
            "原来是{palkind.one}名叫{pal}的{palkind}，饿得走不动了。",
        ),
        ("{hero}看看{food}，又看看{pal}。",),
        (
            "“我们一人一半吧！”{hero}说。",
            "{hero}把{food}分成两份，大的一份给了{pal}。",
        ),
        (
            "{pal}吃得真香，连声说：“谢谢你，{hero}！”",
            "{pal}一口气吃完了，说：“这是我吃过的最好吃的{food}！”",
        ),
    ),
    morals=(
        "从此，{hero}和{pal}成了好朋友。",
        "分给朋友的{food}，比什么都好吃。",
        "{hero}只吃了个半饱，心里却甜甜的。",
    ),
)

FEAR = Plot(
    steps=(
        (
            "{hero}正在散步，{fear.meets}。",
            "{hero}刚刚出门，{fear.meets}。",
        ),
        (
            "{kind.he}最怕{fear}，吓得一动也不敢动。",
            "{kind.he}最怕{fear}，吓得全身发抖。",
        ),
        (
            "这时，{palkind.one}名叫{pal}的{palkind}{palkind.went}走了过来。",
            "幸好，{palkind.one}名叫{pal}的{palkind}就坐在{spot}。",
        ),
        (
            "“我怕{fear}。”{hero}小声说。",
            "“请你不要笑我，我怕{fear}。”{hero}说。",
        ),
        (
            "“别怕，”{pal}说，“{fear.truth}。”",
            "{pal}没有笑，说：“{fear.truth}。”",
        ),
        (
            "{pal}陪着{hero}，一边走一边唱歌，{hero}慢慢地笑了。",
            "{hero}跟着{pal}，数了十下，心里一点也不怕了。",
        ),
    ),
    morals=(
        "从此，{hero}再也不怕{fear}了。",
        "害怕的事情说出来，就不那么可怕了。",
        "勇敢不是不怕，而是怕也往前走。",
    ),
)

HELP = Plot(
    steps=(
        (
            "{hero}正在{place.at}散步，忽然听见有人喊：“救命啊！”",
            "{hero}走在路上，忽然听见一阵哭声。",
        ),
        (
            "原来，{palkind.one}{palkind}{trap}。",
            "{kind.he}跑过去一看，{palkind.one}{palkind}{trap}。",
        ),
        (
            "“别怕，我来救你！”{hero}说完，到{kind.home}里拿来了{trap.one}{trap.tool}。",
            "{hero}想了想，到{kind.home}里拿来了{trap.one}{trap.tool}。",
        ),
        (
            "{kind.he}用{trap.tool}把{palkind}{trap.out}。",
            "有了{trap.tool}，{kind.he}很快就把{palkind}{trap.out}。",
        ),
        (
            "“谢谢你，我叫{pal}。”{palkind}说。",
            "{palkind}说：“谢谢你，我的名字叫{pal}。”",
        ),
        (
            "第二天，{pal}送给{hero}{thing.one}{colour}的{thing}。",
            "第二天，{pal}请{hero}吃了{food.one}{food}。",
        ),
    ),
    morals=(
        "从此，{hero}和{pal}成了好朋友。",
        "帮助别人，自己也会快乐。",
        "{hero}把{trap.tool}挂在门口，说不定哪天还会用到。",
    ),
)

LEARN = Plot(
    steps=(
        (
            "{hero}决定要学{skill}。",
            "{hero}对自己说：“我要学会{skill}！”",
        ),
        ("可是{skill.misses}。",),
        (
            "这时，{palkind.one}名叫{pal}的{palkind}走了过来，{pal}很会{skill}。",
            "{hero}找到了{palkind.one}很会{skill}的{palkind}，名叫{pal}。",
        ),
        (
            "“请你教教我吧！”{hero}说。“不要急，一步一步来。”{pal}说。",
            "“你能教教我吗？”{hero}问。“我也摔倒过很多次呢。”{pal}说。",
        ),
        (
            "{hero}天天到{spot}练习，{pal}天天在旁边拍手。",
            "{hero}在{spot}练了又练，一直练到太阳下山。",
        ),
        ("最后，{hero}{skill.works}。",),
    ),
    morals=(
        "只要肯练习，什么都能学会。",
        "“现在，”{hero}说，“我要去教蚂蚁{skill}。”",
        "{pal}说：“你比我还会{skill}呢！”",
    ),
)

PLANT = Plot(
    steps=(
        (
            "{hero}在{spot}种下了一颗{seed}种子。",
            "{hero}找到了一颗{seed}种子，把种子种在{spot}。",
        ),
        (
            "{kind.he}天天去浇水，种子很快发了芽。",
            "过了几天，种子发了芽，{kind.he}高兴极了。",
        ),
        ("可是，{trouble}。",),
        (
            "幸好，{palkind.one}名叫{pal}的{palkind}{trouble.helped}。",
            "这时来了{palkind.one}{palkind}，名叫{pal}。{pal}{trouble.helped}。",
        ),
        (
            "“我们一起等它长大吧！”{pal}说。",
            "“有了朋友，小苗长得更快。”{pal}笑着说。",
        ),
        ("到了秋天，小苗{seed.grew}。",),
    ),
    morals=(
        "{hero}把最好的{seed}送给了{pal}。",
        "{hero}把{seed}分给大家，人人都很高兴。",
        "一颗种子里，藏着整个秋天。",
    ),
)

RAIN = Plot(
    steps=(
        (
            "{hero}走在路上，天空忽然下起了{storm}。",
            "{hero}刚刚出门，天空忽然下起了{storm}。",
        ),
        (
            "幸好，{kind.he}带了{shelter.one}{shelter}。",
            "{kind.he}一点也不急，拿出了{shelter.one}{shelter}。",
        ),
        (
            "{kind.he}看见{palkind.one}{palkind}躲在{spot}，冷得发抖。",
            "忽然，{kind.he}听见有人在{spot}打喷嚏，原来是{palkind.one}{palkind}。",
        ),
        (
            "“快到我的{shelter}下面来！”{hero}说。",
            "“我的{shelter}很大，我们一起躲吧！”{hero}说。",
        ),
        (
            "“谢谢你，我叫{pal}。”{palkind}说。",
            "{palkind}说：“谢谢你，我的名字叫{pal}。”",
        ),
        (
            "{hero}和{pal}躲在{shelter}下面，讲了一个又一个故事。",
            "{pal}唱起了歌，{hero}跟着打拍子，{shelter}也跟着摇。",
        ),
    ),
    morals=(
        "{storm}停了，谁也不想回家。",
        "再小的{shelter}，也能装下两个朋友。",
        "从此，{hero}最喜欢下{storm}的日子。",
    ),
)

GIFT = Plot(
    steps=(
        (
            "{hero}要去给好朋友{pal}过生日，{pal}是{palkind.one}{paltrait}的{palkind}。",
            "{hero}想起来，今天是好朋友{pal}的生日，{pal}是{palkind.one}{paltrait}的{palkind}。",
        ),
        (
            "{kind.he}做了{thing.one}{colour}的{thing}，要送给{pal}。",
            "{kind.he}带上{thing.one}{colour}的{thing}，高高兴兴地出发了。",
        ),
        ("可是走到{spot}，{thing.oops}。",),
        (
            "“对不起，我没有礼物了。”{hero}说。",
            "“我本来要送你{thing.one}{thing}。”{hero}说。",
        ),
        (
            "{pal}笑着说：“你来了，就是最好的礼物。”",
            "“没关系，我只想和你一起玩。”{pal}说。",
        ),
        (
            "{pal}切开蛋糕，把最大的一块给了{hero}。",
            "{hero}和{pal}一起唱歌，一直唱到月亮出来。",
        ),
    ),
    morals=(
        "最好的礼物，是一个好朋友。",
        "从此，每年生日，{hero}和{pal}都在一起过。",
        "{thing}没有了，笑声还在。",
    ),
)

PLOTS = (LOST, SEEK, SHARE, FEAR, HELP, LEARN, PLANT, RAIN, GIFT)
