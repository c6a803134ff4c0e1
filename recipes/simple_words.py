"""The words that the stories of `tiny` are made of, and how they begin. All of them are ours."""

NAMES = {"he": "Tom Max Sam Ben Tim Jack Leo Bob Dan Finn", "she": "Lily Anna Mia Sue Lucy Emma Amy Kate Rose Ella"}
ANIMALS = "dog cat bird fish frog mouse rabbit bear fox duck horse cow pig sheep lion tiger monkey bee ant turtle"
PEOPLE = "boy girl man woman king queen farmer baby child"
TRAITS = "little big happy sad kind brave shy clever silly lazy funny old young small tiny nice good quiet"
THINGS = "ball book box hat cup toy boat kite drum bike car train doll coat shoe key bell star flower cake apple"
COLOURS = "red blue green yellow white black brown pink golden"
PLACES = "park garden house school beach forest farm river lake hill store kitchen shop zoo yard"
DEEDS = "play run jump swim sing dance read draw climb cook eat sleep walk dig hide help"

OPENINGS = (
    "Once upon a time, there was a {trait} {animal} named {name}. {He} liked to {deed}.",
    "Once upon a time, a {trait} {person} lived near a {place}.",
    "One day, {name} the {animal} went to the {place}.",
    "One day, {name} found a {colour} {thing} in the {place}.",
    "{name} had a {colour} {thing}. {He} loved it very much.",
    "It was a sunny day. {name} and {friend} wanted to {deed}.",
    "It was a cold day. {name} was in the {place} with a {animal}.",
    "{name} was a {trait} child. Every day, {he} went to the {place}.",
    "There was a {colour} {thing} in the {place}. A {trait} {animal} saw it.",
    "{name} and {friend} were friends. They liked to {deed} in the {place}.",
    "The {trait} {animal} was hungry. It looked for food in the {place}.",
    "{name} wanted to {deed}, but {he} was too {trait}.",
)

OTHERS = """
a an the this that these those some any every each all both many much more most few no not another other same own
one two three four five six seven ten first second last next once again
I you he she it we they me him her us them my your his its our their mine yours hers myself himself herself itself
who what where when why how which and or but so because if then than as while until before after since
in on at to from with without of for by about into onto out over under up down off through across around behind
near beside between inside outside along away back here there far home
is was were are am be been being has had have having do does did done can could will would should must may might
don didn doesn wasn isn couldn wouldn
very too also just only really so always never often sometimes soon now today tomorrow yesterday later still even
almost together alone maybe quickly slowly quietly softly loudly gently happily carefully suddenly finally forever
ever already enough instead well better best
say says said ask asks asked tell tells told talk talks talked talking speak spoke call calls called shout shouted
whisper whispered answer answered laugh laughed laughing smile smiles smiled smiling cry cries cried crying
go goes went gone going come comes came coming run runs ran running walk walks walked walking jump jumps jumped jumping
fly flies flew flying swim swam swimming climb climbed climbing fall falls fell falling sit sits sat
sitting stand stands stood standing sleep slept sleeping wake woke lie lay hide hid hidden hiding follow
followed following chase chased chasing move moved stop stops stopped start started begin began ride rode riding
eat eats ate eating drink drank drinking cook cooked cooking taste tasted share shared sharing
see sees saw seen seeing look looks looked looking watch watched watching hear heard hearing listen listened
feel feels felt smell touch touched
think thinks thought thinking know knows knew learn learned learning remember remembered forget forgot believe
believed understand understood dream dreamed wish wished hope hoped decide decided plan try tries tried trying
want wants wanted need needs needed like likes liked love loves loved hate hated miss missed enjoy enjoyed
make makes made making build built building draw drew drawing paint painted read reading write wrote sing sings sang
singing dance danced dancing play plays played playing help helps helped helping work worked working dig dug
give gives gave given giving take takes took taken taking get gets got getting put bring brought carry carried
hold held keep kept find finds found finding lose lost look pick picked throw threw catch caught push pushed pull
pulled open opened close closed turn turned break broke broken fix fixed clean cleaned wash washed cut use used
show showed meet met visit visited wait waited waiting stay stayed leave left live lived living grow grew save saved
thank thanked hug kiss win won live happen happened become became seem seemed let lets send sent
happy sad angry scared afraid tired hungry thirsty sick hot cold warm wet dry dark bright loud soft hard fast slow
long short tall high low deep new old strong weak heavy light pretty beautiful ugly clean dirty full empty safe
dangerous lost proud sorry surprised excited curious careful lonely friendly strange special wonderful great
favorite different real true wrong right ready sure bad good easy big bigger biggest small smaller sweet shiny round
sunny free whole little bit
mother father mom dad mommy brother sister family friend friends baby teacher children people
boys girls kids neighbor someone everyone everything something nothing anything animal animals pet
day days night morning evening afternoon time year minute while moment week winter summer spring
sun moon stars sky rain snow wind cloud clouds storm fire water ice sea sand stone rock rocks mud ground grass tree
trees leaf leaves flowers road path hole nest cave bridge mountain island
house door window room bed table chair floor wall roof kitchen garden bag basket boxes balls bowl plate spoon lamp
books story stories song picture paper letter game games toys music party gift present surprise dress hair
bread milk cheese honey egg eggs apples cookies cake soup fruit food lunch dinner breakfast ice cream carrot
head face eye eyes ear ears nose mouth hand hands arm arms leg legs foot feet tail wing wings heart voice
idea secret name place way thing things side top end problem trouble lesson magic treasure noise sound fun love
help hope care yes hello goodbye please thanks okay oh
"""


def vocabulary() -> list[str]:
    """Every word that a story may hold, in lower case but for names and I, each once."""
    listed = " ".join((*NAMES.values(), ANIMALS, PEOPLE, TRAITS, THINGS, COLOURS, PLACES, DEEDS)).split()
    return list(dict.fromkeys([*listed, *OTHERS.split()]))
