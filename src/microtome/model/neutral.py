"""Neutral prompts: ordinary text that asks for nothing in particular.

Where a prompt has no counterfactual, a unit's baseline is its mean activation over these. They are
short, cover everyday subjects and a few other registers (dialogue, list, letter, code), and none is
a prompt of a task.
"""

NEUTRAL: tuple[str, ...] = (
    "It rained most of the morning, so we stayed indoors. By noon the clouds had thinned and a pale light "
    "came through the kitchen window.",
    "The bakery on the corner opens before six. People stop there on their way to work, buy a roll or two, "
    "and talk about the weather.",
    "My grandmother kept her buttons in a tin box. Sorting them by color was what we did on slow afternoons "
    "when nobody had time for us.",
    "Water expands when it freezes, which is why a full bottle may crack in the cold. Leave some room at the "
    "top before you put it away.",
    "The meeting was moved to Thursday because two of us will be traveling. Please bring the figures from "
    "last month and a short summary.",
    "A narrow path leads down from the ridge to the lake. It is steep in places, and after heavy rain the "
    "stones can be slippery.",
    "He repaired radios for a living and never threw a screw away. On his bench there were hundreds of small "
    "jars, all of them labeled.",
    "Most ferns like shade and a little moisture. If the tips of the leaves turn brown, the air is probably "
    "too dry, so mist them now and then.",
    "The train was late again this evening. A few passengers read, some slept, and one of them was peeling "
    "an orange very slowly.",
    "Chop the onion and let it soften in a little oil. Add the lentils, cover with water, and let everything "
    "simmer for half an hour.",
    "The committee has read the report and thanks its authors. It recommends two changes, neither of which "
    "should delay the work.",
    "We painted the fence over the weekend. The color looked darker than it had in the shop, but after a few "
    "days we got used to it.",
    "Sparrows nested under the roof this spring. For weeks we heard them every morning, and then one day the "
    "garden was quiet.",
    "The museum is closed on Mondays. On other days it opens at ten, and guided tours begin in the main hall "
    "every hour.",
    "Sand dunes move with the wind. Grains roll up the gentle side, fall down the steep one, and so the "
    "whole hill creeps along.",
    "She learned to play the cello as an adult. Progress was slow at first, but she liked the hour of "
    "practice at the end of the day.",
    "The old bridge carries only bicycles now. Cars use the new one farther down, where the valley is wider "
    "and the banks are firm.",
    "Our neighbor grows tomatoes on the balcony. In a good summer there are more than enough, and a bowl of "
    "them appears at our door.",
    "To change the battery, slide the cover to the left and lift it off. Make sure that both ends point the "
    "right way before you close it.",
    "The novel takes place in a small harbor town. Not much happens in the first half, though the "
    "descriptions of the sea are fine.",
    "A light wind came up after sunset. Someone fetched blankets from the house, and we sat outside until "
    "the candles had burned down.",
    "Prices rose a little in the first quarter and then stayed where they were. Analysts had expected more "
    "movement than that.",
    "The dog waited by the gate every afternoon. It knew the sound of the school bus, and it was hardly ever "
    "wrong about the time.",
    "Glass is made from sand, soda and lime. The mixture is heated until it melts, and it can then be blown, "
    "pressed or drawn.",
    "There is a market in the square on Saturdays. Farmers bring vegetables, cheese and honey, and a man "
    "with a cart sharpens scissors.",
    "The second half was better than the first. Both teams had chances, but the goalkeepers were awake and "
    "nobody scored.",
    "I have been meaning to write for some time. The house is finally in order, and the spare room is ready "
    "whenever you like to come.",
    "The library lends tools as well as books. You can borrow a drill for three days, and there is hardly "
    "ever a waiting list.",
    "Snow had fallen during the night and covered the tracks. The hikers looked at the map twice and decided "
    "to follow the stream.",
    "Tea came to be grown on the hills because the soil drains well there. The leaves are picked by hand, "
    "several times a year.",
    "The printer is on the second floor, next to the stairs. It takes ordinary paper and, if you are "
    "patient, envelopes too.",
    "As children we thought that the attic was enormous. It held a trunk, a broken lamp, and more dust than "
    "we had ever seen.",
    "Bees find their way by the position of the sun. When it is hidden behind clouds, they can still make "
    "use of a patch of blue sky.",
    "The lecture was about maps and the people who made them. It lasted an hour, and a good part of the "
    "audience stayed to ask questions.",
    '"Did you lock the back door?" "I think so, but I can look again." "Please do, and bring the umbrella '
    'when you come down."',
    '"How long will the repair take?" asked the customer. "Two days, perhaps three," came the answer. "We '
    'have to order a part."',
    "Things to pack: two shirts, a warm sweater, socks, a towel, the charger, a paperback, some tea, and the "
    "tickets, which are on the desk.",
    "Dear all, the heating will be checked next week. You need not be at home, but please leave the "
    "radiators free. Kind regards, the office",
    "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n",
    "1. Fill the kettle.\n2. Warm the pot.\n3. Add one spoon of tea for each cup.\n4. Pour, wait four "
    "minutes, and stir once.\n",
)
