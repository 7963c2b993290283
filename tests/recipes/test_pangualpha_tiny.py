"""The stories of recipes/pangualpha_tiny: the grammar writes what it reads, and nothing else is accepted."""

import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mf_core import AutoConfig, AutoTokenizer, pipeline

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "pangualpha_tiny"
SHIPPED = ROOT / "plugins" / "pangualpha" / "src" / "mf_pangualpha" / "data" / "tiny"


def load(*names):
    """Import modules of the recipe, whatever another recipe's tests have imported under the same names."""
    own = {path.stem for path in RECIPE.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    sys.path.insert(0, str(RECIPE))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(RECIPE))
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(others)


build_tokenizer, corpus, grammar, score, words = load("build_tokenizer", "corpus", "grammar", "score", "story_words")
accept, check = grammar.accept, grammar.check

#: A change of a word or of an alternative changes it, and with it every trained checkpoint's text.
SHA256_OF_1000_STORIES = "75e1ec193f59bb5c3f5af77b9965293bbe4fdc5755397cd547b87cd5c27e3b90"

SENTENCE = re.compile(r"(?<=[。！？])(?=[^”])|(?<=[。！？]”)(?=.)")
NAMES = [row["name"] for row in words.NAMES]
#: What is counted by which word, written down here once more.
MEASURES = {
    "只": "小兔子 小松鼠 小狐狸 小刺猬 小熊 小猫 小鸭子 小猴子 小乌龟 风筝 木筏", "匹": "小马", "头": "小牛 小象",
    "个": "小女孩 小男孩 皮球 铃铛 书包 花瓶 西瓜 馒头 红薯", "顶": "帽子 斗笠 帐篷", "条": "围巾",
    "把": "雨伞 大伞 草药 剪刀 钥匙", "双": "手套", "支": "笛子 火把", "盏": "灯笼 灯", "面": "小鼓",
    "本": "图画书", "块": "手帕 月饼 蛋糕 木板", "根": "玉米 绳子 竹竿", "盘": "饺子", "串": "葡萄",
    "碗": "面条 汤圆 莲子", "罐": "蜂蜜", "壶": "泉水", "袋": "红枣", "篮": "梨子", "架": "梯子",
    "片": "荷叶 芭蕉叶", "张": "地图", "颗": "种子",
}  # fmt: skip
COUNTED = {noun: measure for measure, nouns in MEASURES.items() for noun in nouns.split()}


@pytest.fixture(scope="module")
def stories():
    """Two thousand stories."""
    return corpus.build(2000, seed=11)


@pytest.fixture(scope="module")
def few(stories):
    """Stories to mutate in every place."""
    return stories[:40]


@pytest.fixture(scope="module")
def tokenizer():
    """The vocabulary that the package ships."""
    return AutoTokenizer.from_pretrained(SHIPPED)


def replaced(text, pattern, new):
    """Return ``text`` once for each match of ``pattern``, with that match alone replaced."""
    return [text[: m.start()] + new[m.group()] + text[m.end() :] for m in re.finditer(pattern, text)]


def accepted(texts):
    return [text for text in texts if accept(text)]


def shifted(table, column="name"):
    """Return each text of a column with the next one."""
    texts = list(dict.fromkeys(row[column] for row in table))
    return dict(zip(texts, texts[1:] + texts[:1], strict=True))


# Writing ------------------------------------------------------------------------------------------------------------


def test_corpus_is_the_same_everywhere():
    text = "\n".join(corpus.build(1000, seed=7))
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_1000_STORIES


def test_corpus_is_distinct_and_grows_by_its_end(stories):
    assert len(set(stories)) == len(stories) == 2000
    assert corpus.build(100, seed=11) == stories[:100]
    assert corpus.build(100, seed=12) != stories[:100]


def test_held_out_stories_are_not_trained_on():
    train, held_out = corpus.split(500, 100, seed=3)
    assert (len(train), len(held_out)) == (500, 100)
    assert train == corpus.build(500, seed=3)
    assert not set(train) & set(held_out)


def test_generated_stories_are_accepted(stories):
    assert [str(check(story)) for story in stories if check(story)] == []


def test_generated_stories_read_well(stories):
    for story in stories:
        assert re.fullmatch(r"[\u4e00-\u9fff。，“”！？：]+", story)
        assert not re.search(r"[。，！？：]{2}|^[。，”]|“”|的的|了了|，。", story), story
        assert re.fullmatch(r"(?:[^“”]|“[^“”]+”)*", story), story
        assert story.startswith(("从前，", "很久很久以前，", *(row["of"] for row in words.PLACES)))
        assert story.endswith(("。", "！”", "。”"))
        assert 100 <= len(story) <= 220


def test_things_are_counted_by_their_own_words(stories):
    nouns = "|".join(sorted(COUNTED, key=len, reverse=True))
    seeds = "|".join(row["name"] for row in words.SEEDS)
    between = f"(?:名叫(?:{'|'.join(NAMES)})的|很会..的|..色的|..的|{seeds})?"
    pattern = re.compile(f"[一那]([{''.join(MEASURES)}]){between}({nouns})")
    found = [match.groups() for story in stories for match in pattern.finditer(story)]
    assert [(measure, noun) for measure, noun in found if COUNTED[noun] != measure] == []
    assert {noun for _, noun in found} == set(COUNTED)


def test_a_friend_is_made_known_before_being_named_alone(stories):
    for story in stories:
        first, second = list(dict.fromkeys(re.findall("|".join(NAMES), story)))
        assert f"名叫{first}" in story
        introduced = re.search(f"名叫{second}|“[^”]*(?:我叫|我的名字叫){second}|好朋友{second}", story)
        assert introduced.start() <= story.index(second)


def test_every_row_of_every_table_is_used(stories):
    text = "\n".join(stories)
    names = [row["name"] for table in grammar.STORIES.tables.values() for row in table if "name" in row]
    # What a road's obstacle is called is no part of a story.
    obstacles = {row["name"] for row in words.OBSTACLES}
    assert [name for name in names if "{" not in name and name not in text and name not in obstacles] == []


# Reading: what a story has named stays as it is ---------------------------------------------------------------------


def test_names_stay_the_same(few):
    for story in few:
        others = dict(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
        for name in set(re.findall("|".join(NAMES), story)):
            assert story.count(name) > 1
            mutants = replaced(story, name, others)
            assert accepted(mutants) == []
            assert check(mutants[-1]).kind == "agreement"
        hero, pal = dict.fromkeys(re.findall("|".join(NAMES), story))
        assert accepted(replaced(story, f"{hero}|{pal}", {hero: pal, pal: hero})) == []


@pytest.mark.parametrize(
    "table", ["THINGS", "FOODS", "REMEDIES", "FEARS", "SKILLS", "SEEDS", "SHELTERS", "STORMS", "ELDERS"]
)
def test_what_a_story_is_about_stays_the_same(stories, table):
    after = shifted(getattr(words, table))
    told = [s for s in stories[:600] for noun in after if s.count(noun) > 1]
    mutants = [m for story in told for m in replaced(story, "|".join(n for n in after if story.count(n) > 1), after)]
    assert len(mutants) > 40
    assert accepted(mutants) == []


@pytest.mark.parametrize(
    "table, column",
    [("THINGS", "that"), ("THINGS", "oops"), ("FEARS", "truth"), ("TRAPS", "tool"), ("REMEDIES", "where"),
     ("SEEDS", "grew"), ("TROUBLES", "helped"), ("TROUBLES", "name")],
)  # fmt: skip
def test_what_belongs_to_a_thing_stays_with_it(stories, table, column):
    after = shifted(getattr(words, table), column)
    mutants = [m for story in stories[:600] for m in replaced(story, "|".join(after), after)]
    assert len(mutants) > 20
    assert accepted(mutants) == []


def test_colours_kinds_and_pronouns_stay_the_same(few):
    he = {"它": "她", "她": "他", "他": "它"}
    homes, colours, kinds = shifted(words.KINDS, "home"), shifted(words.COLOURS), shifted(words.KINDS)
    for story in few:
        assert accepted(replaced(story, "[它她他]", he)) == []
        for after in (homes, colours, kinds):
            for text in after:
                if story.count(text) > 1:
                    assert accepted(replaced(story, text, after)) == []
        of = next(row for row in words.KINDS if re.search(f"{row['name']}，名叫", story))
        assert not accept(story.replace(f"{of['one']}", "一位", 1))


def test_the_setting_of_a_story_stays_the_same(stories):
    spots = {row["name"]: row["place"] for row in words.SPOTS}
    elsewhere = {spot: next(s for s in spots if spots[s] != spots[spot]) for spot in spots}
    mutants = [m for story in stories[:200] for m in replaced(story, "|".join(spots), elsewhere)]
    assert len(mutants) > 50
    assert accepted(mutants) == []


def test_hero_and_friend_are_of_two_kinds():
    story = "从前，森林里住着一只勇敢的小兔子，名叫豆豆。一天早上，豆豆走在路上，忽然听见一阵哭声。原来，一只{}掉进了"
    assert accept(story.format("小猫"), beginning=True)
    assert not accept(story.format("小兔子"), beginning=True)


# Reading: nothing else is accepted ----------------------------------------------------------------------------------


def test_no_sentence_can_be_left_out_or_repeated(few):
    for story in few:
        sentences = SENTENCE.split(story)
        assert "".join(sentences) == story
        assert len(sentences) >= 7
        for i in range(len(sentences)):
            assert not accept("".join(sentences[:i] + sentences[i + 1 :]))
            assert not accept("".join(sentences[: i + 1] + sentences[i:]))


def test_a_story_cut_short_is_a_beginning_and_one_that_continues_is_not(few):
    for story in few:
        assert accept(story, beginning=True)
        for end in range(0, len(story), 3):
            assert not accept(story[:end])
            assert accept(story[:end], beginning=True)
            assert not accept(story[:end] + "吗", beginning=True)
        for more in (" ", "\n", "。", "完。", story):
            assert check(story + more).kind == "goes on after the end"
            assert not accept(story + more, beginning=True)
        for more in (" ", "\n"):
            assert not accept(more + story, beginning=True)


def test_extra_missing_and_other_characters_are_rejected(few):
    for story in few[:10]:
        without = {story[:i] + story[i + 1 :] for i in range(len(story))}
        assert set(accepted(without)) <= {story.replace("有一天", "一天")}
        for i in range(len(story) + 1):
            assert not accept(story[:i] + "很" + story[i:])
            assert not accept(story[:i] + "龘" + story[i + 1 :])
        for full, half in ("，,", "。.", "：:", "！!", "？?"):
            assert accepted(replaced(story, re.escape(full), {full: half})) == []


def test_a_rejection_says_what_and_where():
    story = "从前，森林里住着一只勇敢的小兔子，名叫豆豆。一天早上，"
    wrong = check(story + "毛毛决定要学游泳。")
    assert (wrong.kind, wrong.slot, wrong.expected) == ("agreement", "hero", ("豆豆",))
    assert (wrong.sentence, wrong.position) == (2, len(story))
    assert str(wrong) == "agreement of hero (sentence 2, character 27): expected '豆豆', found '毛毛决定要学游泳'"
    unknown = check(story + "豆豆吃掉了月亮。")
    assert (unknown.kind, unknown.position) == ("wording", len(story) + 2)
    assert check("").kind == "stops early"
    assert check("月亮").kind == "wording"


def test_score_counts_reasons(stories):
    report = score.score([*stories[:8], stories[0] + "<eod>更多", stories[1][:50]], seen=set(stories[:3]))
    assert (report.total, report.accepted, report.distinct, report.seen) == (10, 9, 8, 4)
    assert report.reasons() == [("stops early", 1)]
    assert "accepted 9 of 10 (90.0%)" in report.render()


# The command lines --------------------------------------------------------------------------------------------------


def run(script, *arguments, cwd):
    command = [sys.executable, str(RECIPE / script), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_corpus_and_score_as_commands(tmp_path):
    held_out = ("--held-out", 4, "--held-out-file", "more/valid.jsonl")
    run("corpus.py", "--count", 30, "--seed", 5, "--out", "train.jsonl", *held_out, cwd=tmp_path)
    lines = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"text": story} for story in corpus.build(30, seed=5)]
    assert len((tmp_path / "more" / "valid.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    printed = run("score.py", "train.jsonl", "--seen", "train.jsonl", cwd=tmp_path)
    assert "accepted 30 of 30 (100.0%), 30 different, 30 seen in training" in printed
    assert accept(run("grammar.py", "--count", 1, cwd=tmp_path).strip())


def test_tokenizer_is_deterministic(stories, tmp_path):
    vocabularies = [build_tokenizer.train(stories) for _ in range(2)]
    assert vocabularies[0] == vocabularies[1]
    for folder, vocabulary in zip("ab", vocabularies, strict=True):
        build_tokenizer.save(vocabulary, tmp_path / folder)
    again = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert len(again) == build_tokenizer.VOCAB_SIZE
    assert [again.decode(again.encode(story)) for story in stories[:50]] == stories[:50]
    config = (tmp_path / "a" / "tokenizer_config.json").read_bytes()
    assert config == (tmp_path / "b" / "tokenizer_config.json").read_bytes()
    assert config == (SHIPPED / "tokenizer_config.json").read_bytes()


def test_shipped_vocabulary_reads_any_text(tokenizer, stories):
    odd = ["", " 两个  空格 ", "tab\tand\r\nline", "naïve 🦊👩‍🚀", "你好，世界", "ＡＢＣ，1.5％", "龘", "<eod><s>从前"]
    for text in odd + stories[:200]:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert not {0, 1, 2, 3} & set(ids)
    ids = (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert (ids, tokenizer.eos_token) == ((0, 1, 2, 3), "<eod>")
    assert len(tokenizer) == build_tokenizer.VOCAB_SIZE


def test_stories_fit_the_context_and_names_are_one_token(tokenizer, stories):
    assert max(len(tokenizer.encode(story)) for story in stories) < build_tokenizer.CONTEXT
    assert tokenizer.model_max_length == build_tokenizer.CONTEXT
    pieces = {"▁" + name for name in NAMES}
    for story in stories[:200]:
        named = [tokenizer.id_to_token(index) for index in tokenizer.encode(story)]
        assert sum(piece in pieces for piece in named) == len(re.findall("|".join(NAMES), story))


@pytest.mark.slow
def test_training_makes_a_model_that_tells_and_is_scored(tmp_path):
    out = tmp_path / "out"
    shutil.copytree(SHIPPED, out, ignore=shutil.ignore_patterns("*.safetensors", "config.json", "README.md"))
    printed = run("train.py", out, "--steps", 2, 2, 2, cwd=tmp_path)
    assert "1,412,096 parameters, 64 stories" in printed
    assert printed.count(" after 2 steps") == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer_config.json", "vocab.model",
    }  # fmt: skip
    assert (out / "model.safetensors").stat().st_size < 3_000_000  # fp16
    assert "accepted 0 of 3" in run("sample.py", "--model", out, "--count", 3, "--temperature", 1.0, cwd=tmp_path)


def test_the_shipped_checkpoint_is_of_the_recipe(tokenizer):
    shipped = json.loads((SHIPPED / "config.json").read_text())
    (train,) = load("train")
    config = train.CONFIG
    assert {name: shipped.get(name) for name in config} == config
    preset = AutoConfig.from_pretrained("pangualpha_tiny")
    assert {name: getattr(preset, name) for name in config if name != "model_type"} == {
        name: value for name, value in config.items() if name != "model_type"
    }


def test_the_shipped_checkpoint_tells_stories_that_the_grammar_accepts():
    """Of 200 it accepts half; of these few, some."""
    generate = pipeline("text_generation", "pangualpha_tiny")
    (result,) = generate("从前", seed=1, num_return_sequences=12)
    texts = result["text_generation_text"]
    assert len(set(texts)) == 12
    assert all(re.fullmatch(r"从前[\u4e00-\u9fff，。！？：“”]{60,}", text) for text in texts)
    assert sum(check(text) is None for text in texts) >= 2
