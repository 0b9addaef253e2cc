"""How English announces an answer instead of giving it."""

from core.gateway.guard.phrases import Phrases, beginnings, joined, pattern

YES = joined(r"""
    (?:sure(?: thing)?|certainly|absolutely|definitely|of course|okay|ok|alright|all right|right
    |great|perfect|understood|got it|no problem|yes|hmm*|well|so|wait|ah|oh
    |(?:that's an? )?(?:great|good|excellent|interesting) question
    |thank you for (?:your question|asking)|thanks for asking
    |(?:just )?(?:one|a) moment(?:,? please)?|hold on)
""")
ORDER = joined(r"""
    (?:first|firstly|first of all|first off|to begin with|to start(?: with)?|to begin|next|second
    |secondly|then|after that|now|finally|also|and|step by step|for this|i think|in this case)
""")
OPENING = rf"(?:(?:{YES}|{ORDER}),? ){{0,5}}"
PURPOSE = joined(r"""
    (?:(?:in order )?to (?:answer|solve|respond|reply|address|find|determine|complete|help|figure
    |tackle|understand|calculate|do|get|give|work)\b[^,]{0,90},[ ]
    |before (?:answering|responding|replying|i answer|i respond|we begin|we start)\b[^,]{0,60},[ ]
    )?
""")
START = OPENING + PURPOSE + OPENING
LATER = joined(r"""
    (?P<later>(?:i|we)(?: first| now| also| just| then| still)?
    (?:'ll| will| shall|(?:'m| am|'re| are)(?: now| first| just)? (?:going|about) to| need to
    | have to|(?<=i) must|(?<=i) should|'d like to| would like to| want to| can now)
    |my (?:task|goal|aim|next step|first step)(?: here| now)? is to
    |(?:i(?:'ve| have) been|i(?:'m| am)|we(?:'re| are)) asked to)
""")
NOW = r"(?:please )?(?:allow me to|let me|let's|let us)"
HOW = joined(r"""
    (?:(?:first|firstly|now|also|just|then|next|quickly|carefully|briefly|simply|go ahead and
    |try to|need to|have to|want to|proceed to),? ){0,4}
""")
MATTER = joined(r"""
    (?:list|menu|requests?|questions?|quer(?:y|ies)|prompt|inputs?|messages?|texts?|sentences?
    |paragraphs?|passages?|verses?|data|dataset|information|info|details?|documents?|documentation
    |files?|tables?|records?|databases?|knowledge base|calendar|schedule|timetable|options?|code
    |functions?|images?|pictures?|context|problems?|tasks?|steps?|answers?|responses?|results?
    |instructions?|requirements?|articles?|numbers?|figures?|values?|sources?|entries|rows?|columns?
    |names|guests?|availability|situation|case|issues?|topic|tools?|json|schema|format|bookings?
    |reservations?|orders?|notes?|reports?|contracts?|logs?|errors?|facts?|evidence|conditions?
    |constraints?|criteria|costs?|prices?|totals?|sums?|dates?|differences?|catalogue|catalog
    |inventory|system|website|page|weather|forecast|plan|policy|rules?|guidelines|history
    |conversation|meaning|cause|aspects?|statements?|basics|parts?|candidates?|calculator
    |journey|trip|route|trains?|flights?|hotels?|restaurants?|tickets?|addresses|address|profile
    |spelling|grammar|syntax|equations?|formulas?|proof|arguments?|claims?|needs|keywords?
    |areas?|solutions?|minimum|maximum|averages?)\b
""")
DETERMINER = r"(?:the|your|this|that|these|those|our|all|each|every|both|some|any|more|my)"
THING = rf"{DETERMINER}(?: [\w'.-]+){{0,4}}? {MATTER}"
THIS = joined(r"""
    (?:this|that|it|these|those|them|everything)
    (?:$|,| (?:up|out|over|through|down|all|first|now|again|for you|step by step|carefully
    |to find|in \w+ (?:parts|steps))\b)
""")
ASKED = r"(?:what|which|who|whom|where|when|how|whether|why|if)\b"
STUDY = joined(r"""
    (?:(?:analy[sz]e|examine|parse|assess|evaluate|identify|determine|verify|double[- ]check|compare
    |calculate|compute|figure|reconsider|rethink|recap|brainstorm|investigate|interpret|classify
    |break (?:[\w']+ ){1,4}down|break down|get started|look into (?:this|that|it|the|your)
    |look (?:this|that|it) up|consider (?:the|this|these|each|both|all|your|what|how|which|whether)
    |(?:tackle|approach|solve|unpack|dig into) (?:this|that|it|the|each|your)|find the \w+est
    |(?:take|have) (?:a|another) (?:\w+ )?look(?: at (?:this|that|it|the|your|what|each)| here|$)
    |think (?:step by step|carefully|through|again|about (?:this|that|it|the|your|what|how|which))
    |think(?: for)? a (?:moment|second|minute)
    |(?:start|begin) with the (?:basics|facts|definitions?|data|question|first)
    |(?:start|begin) by (?:first )?(?:analy[sz]|review|examin|look|check|summari[sz]|gather|identify
    |consider|break|explain|outlin|list|read|find|defin|search|verify|explor|understand|compar
    |describ|recall|clarify|think|calculat|comput)\w*)\b.*|think)
""")
READ = joined(r"""
    (?:check|look|look (?:at|up|for|through|over)|review|see|read(?: through)?|search(?: for
    | through)?
    |find(?: out(?! who))?|count|gather|collect|extract|query|consult|confirm|scan|retrieve|fetch
    |understand
    |work (?:through|out)|recall|process|go (?:through|over)|inspect|clarify|think through|use|call
    |study|explore|pull up|cross-check|add up|sort through)
""")
GIVE = joined(r"""
    (?:provide|give|offer|present|show|walk|explain|describe|summari[sz]e|outline|list|answer
    |address|respond to|reply to|write|generate|create|draft|translate|rewrite|rephrase|format
    |convert|compile|produce|share|help|choose|prepare|put together|rank)
    (?: you)?(?: with| through)?
""")
ANSWER = joined(r"""
    (?:summary|overview|answers?|response|reply|explanation|translation|lists?|tables?|json|outline
    |versions?|breakdown|steps?|examples?|code|details|points|basics|reasoning|instructions?|guide
    |draft|questions?|request|message|text|sentence|paragraph|title|analysis|recipe|output|results?
    |script|snippet|solution|rewrite|comparison|template|e-?mail|letter|suggestions?
    |recommendations?|options
    |tips|ideas|itinerary|report|essay|poem|function|query|information|description)\b
""")
GIVEN = joined(rf"""
    (?:(?:an?|the|your|this|that|some|my|each|these|all|both)(?: [\w'-]+){{0,4}}? {ANSWER}
    |(?:how|why|what|this|that|it)\b|in (?:more |\w+ )?(?:detail|steps|parts)\b|briefly|further|$)
""")
DO = joined(rf"""
    (?:{STUDY}|{READ}(?: (?:{THING}|{ASKED}|{THIS}).*| (?!.*\b(?:my|your)\b).*\bfirst|$)
    |search (?:for|online|the web)(?! (?:my|her|his|him|you|them|your)\b).*
    |{GIVE}(?:$| {GIVEN}.*))
""")
DOING = joined(r"""
    (?:analy[sz]ing|checking|searching|looking (?:up|at|for|into|through)|reviewing|processing
    |verifying|gathering|calculating|computing|reading|retrieving|fetching|consulting|examining
    |comparing|querying|considering|evaluating)
""")
STUDIED = joined(r"""
    (?:review(?:ing|ed)|analy[sz](?:ing|ed)|examin(?:ing|ed)|check(?:ing|ed)|reading|read
    |going through|gone through|look(?:ing|ed) (?:at|through)|consider(?:ing|ed)|search(?:ing|ed))
""")
MACHINE = joined(r"""
    (?:just |only |simply |merely )?an? (?:[\w-]+ ){0,2}?
    (?:ai|artificial intelligence|language model|llm|chatbot|(?:virtual|digital|helpful) assistant)
    (?: (?:language model|assistant|model|chatbot|system|program))?
""")
MADE = joined(r"""
    (?: (?:trained|created|developed|made|built|designed|without|who|that|which|and|so|with
    |here)\b.*
    |,.*)?
""")
SOURCE = joined(r"""
    (?:information|context|data|details?|text|documents?|passages?|sources?|description|input
    |excerpts?|content)
""")
FROM = rf"{OPENING}(?:based on|according to|given|from) (?:the|your)(?: [\w-]+)?"
HERE = rf"{OPENING}here(?:'s| is| are)"

ENGLISH = Phrases(
    first_words=beginnings(
        """
        absolutely after ah alright also analysing analyzing because before being calculating
        certainly checking comparing computing considering consulting definitely evaluating
        examining fetching finally first firstly gathering great having here here's hm hmm hmmm hold
        i i'd i'll i'm i've just let let's looking next now oh ok okay perfect please processing
        querying reading reasoning retrieving reviewing right searching second secondly since so
        step sure thank thanks that's then thinking understood upon verifying wait we we'd we'll
        we're well yes
        """,
        """
        a moment, according to, all right, allow me, and i, and let, and now, and then, as a, as an,
        as i'm, as your, based on, below are, below is, below you, by analysing, by analyzing, by
        checking, by examining, by looking, by reading, by reviewing, excellent question, for this,
        from the, from your, give me, given the, given your, going step, good question, got it, in
        order, in this, interesting question, my aim, my first, my goal, my next, my task, no
        problem, of course, on reviewing, one moment, the following, the instruction, the prompt,
        the query, the question, the request, the task, the user, to address, to answer, to begin,
        to calculate, to complete, to determine, to do, to figure, to find, to get, to give, to
        help, to reply, to respond, to solve, to start, to tackle, to understand, to work, working
        step, you asked, you have, you've asked
        """,
    ),
    acknowledgement=pattern(rf"{YES}(?:,? {YES})?"),
    announcement=pattern(
        rf"{START}(?:{LATER}|{NOW}) {HOW}{DO}",
        rf"""{OPENING}i(?:(?:'d| would| will|'ll) be|(?:'m| am)(?: always)?) (?:more than )?
        (?:happy|glad|delighted|pleased) to (?:help|assist)(?: you)?(?: (?:out|today))?
        (?: with (?:that|this|it|your [\w ]+))?""",
        rf"{OPENING}(?:i'll|i will) do my best(?: to (?:help|assist|answer)\b.*)?",
        rf"""{OPENING}i can (?:certainly |definitely |surely )?(?:help|assist)(?: you)?[ ]
        with (?:that|this|your [\w ]+)""",
        rf"""{OPENING}(?:i(?:'m| am)(?: currently| now| still)? )?{DOING} (?:{THING}|{THIS})
        (?: (?:now|for you|first))*""",
        r"(?:thinking|analy[sz]ing|processing|searching|checking|calculating)(?: now)?",
        rf"""{OPENING}the user (?:wants|asks|asked|has asked|is asking|requested|is requesting
        |would like|seems to|appears to|needs me|is looking for|says they want)\b.*""",
        rf"""{OPENING}the (?:question|prompt|task|query|request|instruction)[ ]
        (?:is asking|asks|asked|wants|is about|requires me|tells me)\b.*""",
        rf"""{OPENING}i (?:understand|see|gather)(?: that)? you(?:'d like| would like| want| need
        |'re asking| are asking|'re looking for| are looking for|'ve asked| have asked)\b.*""",
        rf"{OPENING}you(?:'ve| have)? asked (?:me )?(?:to|for|about|whether|how|what)\b.*",
        rf"{OPENING}i(?:'m| am) {MACHINE}{MADE}",
        rf"""{OPENING}i (?:don't|do not|can't|cannot|am not able|am unable)\b.*[ ]
        (?:because|since|as) i(?:'m| am) {MACHINE}""",
        r"""(?:please )?(?:give me|just|wait|hold on|one) (?:just )?(?:a |one )?
        (?:moment|second|minute),?(?: please,?)? while i .*""",
        rf"{HERE} .*\b(?:you(?:'ve| have)? (?:asked|requested|wanted)\b.*|as requested)",
        rf"{HERE} (?:an?|the|your|my|some)(?: [\w'-]+){{0,2}} requested .*",
        rf"{HERE} (?:what i|how i|the result of my)\b.*",
    ),
    heading=pattern(
        rf"{HERE} (?:.* )?{ANSWER}.*",
        rf"""(?:below|the following)(?: is| are|,? you(?:'ll| will| can) find)[ ]
        (?:.* )?{ANSWER}.*""",
    ),
    any_heading=pattern(rf"{HERE} .*"),
    clause=pattern(
        rf"""{OPENING}(?:as|being|since i(?:'m| am)|because i(?:'m| am))[ ]
        (?:{MACHINE}|(?:an|your) assistant){MADE}""",
        rf"{FROM} (?:provided|given|supplied|available|above) (?:[\w-]+ )?{SOURCE}",
        rf"""{FROM} {SOURCE} (?:above|(?:that )?(?:you(?:'ve| have)? |i was |was |were )?
        (?:provided|given|supplied|shared|gave)(?: to me| me| above)?)""",
        rf"{OPENING}(?:thinking|reasoning) (?:about|through) (?:this|it|that)\b.*",
        rf"{OPENING}(?:thinking|reasoning|going|working) step by step",
    ),
    finding_clause=pattern(
        rf"""{OPENING}(?:after|upon|having|by|on) (?:carefully |closely |thoroughly )?
        {STUDIED} (?:.* )?{MATTER}.*""",
        rf"{OPENING}looking at {THING}.*",
    ),
    finding=pattern(r"(?:i|we|it|there|the answer)\b.*"),
    content=pattern(
        r"\b(?:but|although|however|because(?! i(?:'m| am) )|unless|otherwise)\b",
        r"[,;] (?:there|it|he|she|they|this|that|you|we|the (?!user)[\w ]+) (?:is|are|was|were|has"
        r"|have)\b",
        r"\band (?:then )?(?:send|take|call|bring|put|book|reserve|pay|buy|email|phone|ring|come"
        r"|meet|open|close|remove|deliver|refund|replace|repair)\b",
        r" = |\?$",
    ),
    plan=pattern(
        r"\b(?:his|him|her|my (?!reasoning|answer|task|goal|aim|response|knowledge|notes|tools?"
        r"|next|first|steps?|best))\b",
        r"\b(?:tomorrow|tonight|later|someday|overnight|soon as|every (?:day|week|month|year))\b",
        r"\b(?:on|by|before|until|next|this|last|every|after) (?:mon|tues|wednes|thurs|fri|satur"
        r"|sun)day",
        r"\b(?:next|this|every) (?:week|month|year|morning|afternoon|evening|spring|summer"
        r"|winter)\b",
        r"\bin (?:january|february|march|april|may|june|july|august|september|october|november"
        r"|december|the (?:morning|afternoon|evening)|\w+ (?:minutes?|hours?|days?|weeks?"
        r"|months?))\b",
        r"\bat (?:\d|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|midnight"
        r"|dawn|dusk|dinner|lunch|breakfast|home|work|school)",
        r"\b(?:when|once|until|after|before|while|if) (?:i|you|he|she|they|we|it|the|my|your|dinner"
        r"|lunch|breakfast)\b",
    ),
)
