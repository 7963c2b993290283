"""故事的词: tables of names, kinds, places and things. The notation is in recipes/common/story_notation.py.

Each noun comes with its measure word. The names are those that jieba always cuts as one word.
"""

Row = dict[str, str]


def table(columns: str, *rows: str) -> list[Row]:
    """Return the rows, whose cells are parted by spaces, as dictionaries over the space-separated ``columns``."""
    return [dict(zip(columns.split(), row.split(), strict=True)) for row in rows]


def words(text: str) -> list[Row]:
    """Return one row a word, with no field but its name."""
    return [{"name": word} for word in text.split()]


NAMES = words(
    "豆豆 乐乐 毛毛 朵朵 多多 丁丁 冬冬 糖糖 聪聪 嘟嘟 蹦蹦 淘淘 露露 佳佳 洋洋 晶晶 莉莉 玲玲 "
    "兰兰 娜娜 小龙 小贝 旺旺 虎子"
)

#: ``one`` is the measure word with 一; ``he`` the pronoun; ``home`` follows a place; ``went`` says how they move.
KINDS = table(
    "name one he home went",
    "小兔子 一只 它 地洞 一蹦一跳地",
    "小松鼠 一只 它 树洞 连蹦带跳地",
    "小狐狸 一只 它 土洞 轻手轻脚地",
    "小刺猬 一只 它 落叶堆 慢吞吞地",
    "小熊 一只 它 木屋 摇摇摆摆地",
    "小猫 一只 它 竹篮 轻手轻脚地",
    "小鸭子 一只 它 草窝 摇摇摆摆地",
    "小猴子 一只 它 树屋 连蹦带跳地",
    "小乌龟 一只 它 石洞 慢吞吞地",
    "小马 一匹 它 马棚 甩着尾巴",
    "小牛 一头 它 牛棚 不慌不忙地",
    "小象 一头 它 草棚 不慌不忙地",
    "小女孩 一个 她 小屋 急急忙忙地",
    "小男孩 一个 他 小屋 急急忙忙地",
)

TRAITS = words("勇敢 善良 聪明 活泼 害羞 好奇 调皮 安静 勤劳 细心")

#: ``at`` is where somebody lives or walks, ``of`` stands before a home.
PLACES = table(
    "name at of",
    "森林 森林里 森林深处",
    "小河 小河边 小河边",
    "花园 花园里 花园旁边",
    "山坡 山坡上 山坡上",
    "草原 草原上 草原上",
    "竹林 竹林里 竹林深处",
    "大海 大海边 大海边",
    "果园 果园里 果园旁边",
    "村子 村子里 村子里",
)

#: Where things are found and friends are met: three spots to a place.
SPOTS = table(
    "place name",
    "森林 老橡树下",
    "森林 蘑菇旁边",
    "森林 大树桩后面",
    "小河 小石桥下",
    "小河 柳树下",
    "小河 芦苇后面",
    "花园 玫瑰花下",
    "花园 喷泉旁边",
    "花园 葡萄架下",
    "山坡 大石头后面",
    "山坡 松树下",
    "山坡 山洞旁边",
    "草原 小土堆旁边",
    "草原 羊圈后面",
    "草原 野花旁边",
    "竹林 竹笋旁边",
    "竹林 石凳下",
    "竹林 亭子后面",
    "大海 贝壳旁边",
    "大海 礁石后面",
    "大海 渔船旁边",
    "果园 苹果树下",
    "果园 梨树下",
    "果园 木梯旁边",
    "村子 水井旁边",
    "村子 磨坊后面",
    "村子 槐树下",
)

COLOURS = words("红色 黄色 蓝色 绿色 紫色 白色 黑色 橙色")

#: ``one`` and ``that`` are with the measure word; ``oops`` is how it ends on the way.
THINGS = table(
    "name one that oops",
    "风筝 一只 那只 风筝被大风吹走了",
    "皮球 一个 那个 皮球滚进了大河",
    "帽子 一顶 那顶 帽子被大风吹走了",
    "围巾 一条 那条 围巾被树枝扯破了",
    "铃铛 一个 那个 铃铛掉进了水沟",
    "雨伞 一把 那把 雨伞被树枝扯破了",
    "书包 一个 那个 书包掉进了水沟",
    "手套 一双 那双 手套掉进了大河",
    "笛子 一支 那支 笛子摔成了两段",
    "灯笼 一盏 那盏 灯笼被大雨淋坏了",
    "小鼓 一面 那面 小鼓滚下了山沟",
    "图画书 一本 那本 图画书被大雨淋坏了",
    "手帕 一块 那块 手帕被大风吹走了",
    "花瓶 一个 那个 花瓶摔成了两半",
)

FOODS = table(
    "name one",
    "西瓜 一个",
    "月饼 一块",
    "玉米 一根",
    "馒头 一个",
    "红薯 一个",
    "蛋糕 一块",
    "饺子 一盘",
    "葡萄 一串",
    "面条 一碗",
    "汤圆 一碗",
)

ELDERS = words("奶奶 爷爷 妈妈 爸爸")

#: ``where`` it is found, ``used`` how it is taken.
REMEDIES = table(
    "name one where used",
    "蜂蜜 一罐 大树上 喝下",
    "草药 一把 山顶上 吃下",
    "泉水 一壶 山谷里 喝下",
    "红枣 一袋 山村里 吃下",
    "莲子 一碗 荷塘里 吃下",
    "梨子 一篮 山那边 吃下",
)

#: On the way: ``meets`` is about the hero, ``helped`` of the pal.
OBSTACLES = table(
    "name meets helped",
    "大河 一条大河挡住了路 划来一只小船，送{hero}过了河",
    "大雾 一场大雾遮住了路 提来一盏灯，照亮了小路",
    "陡坡 一道陡坡挡住了路 放下一根绳子，把{hero}拉了上去",
    "荆棘 一片荆棘挡住了路 拿来一把剪刀，剪出了一条小路",
    "山洞 一个黑黑的山洞挡住了路 举起一支火把，走在前面带路",
    "岔路 两条一样的岔路让{kind.he}迷了路 拿出一张地图，指出了方向",
)

FEARS = table(
    "name meets truth",
    "打雷 天上响起了轰隆隆的雷声 打雷只是乌云在敲鼓",
    "独木桥 前面出现了一座独木桥 眼睛看着前面，桥就不晃了",
    "大风 耳边刮起了呼呼的大风 大风只是在学唱歌",
    "黑影 墙上出现了一个大大的黑影 黑影是你自己，它在陪你玩",
    "蜘蛛 眼前爬来了一只大蜘蛛 蜘蛛只是在忙着织网",
    "青蛙 脚边跳出了一只大青蛙 青蛙只是想跟你问好",
)

#: ``tool`` is fetched, and with it the pal is ``out``.
TRAPS = table(
    "name one tool out",
    "掉进了深坑里 一根 绳子 救了上来",
    "陷进了泥潭里 一块 木板 拖了出来",
    "卡在了树杈上 一架 梯子 接了下来",
    "困在了小岛上 一只 木筏 接了回来",
    "困在了渔网里 一把 剪刀 救了出来",
    "锁在了笼子里 一把 钥匙 放了出来",
)

SKILLS = table(
    "name misses works",
    "游泳 {hero}刚下水，就喝了一大口水 像小鱼一样游了起来",
    "唱歌 {hero}刚开口，小鸟就全飞走了 唱得百灵鸟也来听",
    "爬树 {hero}刚爬了一步，就滑了下来 一口气爬到了树顶",
    "跳绳 {hero}刚跳了一下，就被绳子绊倒了 一口气跳了一百下",
    "滑冰 {hero}刚站起来，就摔了一跤 在冰上转了三个圈",
    "画画 {hero}画了一个太阳，看上去却像土豆 画出了一轮金色的太阳",
)

SEEDS = table(
    "name grew",
    "南瓜 结出了圆滚滚的大南瓜",
    "草莓 结出了红红的草莓",
    "黄瓜 结出了长长的黄瓜",
    "向日葵 开出了金黄的向日葵",
    "番茄 结出了红红的番茄",
    "玫瑰 开出了香喷喷的玫瑰",
)

TROUBLES = table(
    "name helped",
    "天一直不下雨，小苗快要干死了 挑来两桶清水，给小苗喝了个饱",
    "虫子爬上了小苗，咬破了叶子 把虫子一条一条地捉走了",
    "一场大风吹来，小苗全倒下了 找来一根竹竿，扶起了小苗",
    "杂草越长越高，挡住了阳光 把杂草一根一根地拔掉了",
)

STORMS = words("大雨 雷雨 冰雹")

SHELTERS = table(
    "name one",
    "大伞 一把",
    "荷叶 一片",
    "斗笠 一顶",
    "芭蕉叶 一片",
    "帐篷 一顶",
)

#: What the hero likes, and how that comes back at the end.
HOBBIES = table(
    "name again",
    "唱歌 那天晚上，{hero}编了一首新歌，唱给{pal}听。",
    "画画 那天晚上，{hero}画了一幅画，画上有{hero}，也有{pal}。",
    "讲笑话 那天晚上，{hero}讲了一个笑话，{pal}笑得直打滚。",
    "数星星 那天晚上，{hero}和{pal}一起数星星，数着数着就睡着了。",
    "写日记 那天晚上，{hero}在日记里写道：“今天真快乐，因为有{pal}。”",
    "捡石子 那天晚上，{hero}把最漂亮的石子送给了{pal}。",
)
