"""How Portuguese, of Portugal and of Brazil, announces an answer instead of giving it."""

from core.gateway.guard.phrases import Phrases, beginnings, joined, pattern

YES = joined(r"""
    (?:(?:é )?claro(?: que sim)?|com certeza|certamente|certo|sim|ok|okay|bem|bom|muito bem|tudo bem
    |perfeito|ótimo|excelente|(?:essa é uma )?(?:boa|ótima|excelente) (?:pergunta|questão)|hu?m+
    |então|ora(?: bem)?|espere|espera|pois(?: bem)?|entendido|sem problemas?|pode deixar|ah
    |com todo o gosto|com prazer|vamos lá|obrigad[oa] pela (?:sua |tua )?pergunta)
""")
ORDER = joined(r"""
    (?:primeiro|primeiramente|em primeiro lugar|antes de (?:mais|tudo)(?: nada)?|para começar|agora
    |a seguir|em seguida|depois(?: disso)?|segundo|em segundo lugar|por fim|finalmente|também|e
    |passo a passo|neste caso|para isso|para tal|eu)
""")
OPENING = rf"(?:(?:{YES}|{ORDER}),? ){{0,5}}"
PURPOSE = joined(r"""
    (?:(?:para|a fim de) (?:poder )?(?:responder|resolver|tratar|encontrar|determinar|ajudar
    |completar|descobrir|calcular|entender|perceber|compreender|saber|obter|fazer
    |dar)\b[^,]{0,90},[ ]
    |antes de (?:responder|começar|avançar|prosseguir)\b[^,]{0,60},[ ])?
""")
START = OPENING + PURPOSE + OPENING
LATER = joined(r"""
    (?P<later>vou|irei|vamos|iremos|preciso(?: de)?|precisamos(?: de)?|tenho (?:de|que)
    |temos (?:de|que)|começo por|devo|quero|queremos|gostaria de|gostava de|pretendo
    |posso agora
    |(?:a )?(?:minha|meu) (?:tarefa|objetivo|próximo passo|primeiro passo)(?: aqui| agora)? é)
""")
NOW = joined(r"""
    (?:deix[ae](?:-me|m-me| eu|-nos)?|deixem-me|me deix[ae]|permit[ae](?:-me|m-me)|permitam-me)
""")
HOW = joined(r"""
    (?:(?:primeiro|primeiramente|antes de mais|agora|já|também|então|só|apenas|aqui|rapidamente
    |cuidadosamente|brevemente|simplesmente|tentar|começar por|depois|em seguida|a seguir|de novo
    |novamente|lhe|te),? ){0,4}
""")
MATTER = joined(r"""
    (?:listas?|ementa|cardápio|menu|pedidos?|perguntas?|quest(?:ão|ões)|solicitaç(?:ão|ões)|dados
    |informaç(?:ão|ões)|detalhes?|documentos?|documentação|ficheiros?|arquivos?|tabelas?|registr?os?
    |bases?|calendário|agenda|horários?|disponibilidade|opç(?:ão|ões)|códigos?|funç(?:ão|ões)
    |imag(?:em|ens)|contexto|problemas?|tarefas?|passos?|etapas?|respostas?|resultados?
    |instruç(?:ão|ões)|requisitos?|artigos?|textos?|frases?|parágrafos?|versos?|números?
    |valor(?:es)?
    |fontes?|nomes|convidados?|situação|casos?|temas?|ferramentas?|json|formato|reservas?
    |encomendas?|notas?|relatórios?|contratos?|datas?|tota(?:l|is)|contas?|custos?|preços?
    |diferenças?|mensag(?:em|ens)|fa[c]?tos|provas|condiç(?:ão|ões)|critérios?|restriç(?:ão|ões)
    |catálogo|inventário|sistema|página|site|previsão|regras?|política|histórico|conversa
    |significado|causas?|aspe[c]?tos?|partes?|básico|candidat[oa]s?|calculadora|erros?
    |regresso|viagem|percurso|rotas?|comboios?|trens?|voos?|hotéis|restaurantes?|bilhetes?
    |endereços?
    |moradas?|perfil|ortografia|gramática|equaç(?:ão|ões)|fórmulas?|argumentos?|necessidades)\b
""")
DETERMINER = joined(r"""
    (?:[oa]s?|[oa]s? (?:seu|sua|teu|tua|nosso|nossa|meu|minha)s?|(?:seu|sua|teu|tua|nosso|nossa
    |meu|minha)s?|est[ea]s?|ess[ea]s?|cada|tod[oa]s [oa]s|ambos os|algumas?|alguns|mais|n[oa]s?
    |a[os]s?|às?|d[oa]s?|um|uma)
""")
THING = rf"{DETERMINER}(?: [\w'.-]+){{0,3}}? {MATTER}"
ASKED = r"(?:(?:d?o |a )?que|qual|quais|quem|onde|quando|como|se|porqu[eê]|por que|quant[oa]s?)\b"
THIS = joined(r"""
    (?:isto|isso|tudo|nisto|nisso|aqui)
    (?:$|,| (?:primeiro|agora|para (?:si|ti|você)|para encontrar|passo a passo|por partes
    |com (?:cuidado|atenção|calma))\b)
""")
STUDY = joined(r"""
    (?:(?:analis(?:ar|á-l[oa]s?)|examin(?:ar|á-l[oa]s?)|identific(?:ar|á-l[oa]s?)|determinar
    |avali(?:ar|á-l[oa]s?)|inspecionar|interpretar|decompor|raciocinar|refletir|reconsiderar
    |comparar
    |calcular|classificar|investigar|consider(?:ar|emos)(?= [oa]s? | dois| duas| cada| est| ess
    | o que)
    |pensar (?:um (?:momento|pouco|instante)|nisto|nisso|sobre|n[oa] (?:pergunta|problema|questão)
    |passo a passo|com (?:cuidado|calma)|bem|melhor|de novo)
    |começar por (?:analisar|rever|revisar|examinar|ver|verificar|resumir|reunir|identificar
    |explicar
    |listar|ler|procurar|definir|considerar|entender|perceber|comparar|calcular)
    |começar (?:analisando|revisando|examinando|verificando|resumindo|identificando|explicando
    |lendo|definindo|comparando|calculando|com o básico|pelo básico|pelos dados)
    |dar uma (?:\w+ )?(?:vista de olhos|olhad(?:a|ela)|espiada)(?= mais| n?[oa]s?\b| aqui| nisso|$)
    |por (?:partes|etapas))\b.*|pensar)
""")
READ = joined(r"""
    (?:verificar|conferir|confirmar|checar|consultar|ver|olhar(?: para)?|ler|reler|rever|revisar
    |procurar|buscar|pesquisar|contar|reunir|recolher|coletar|extrair|encontrar|descobrir|entender
    |perceber|compreender|processar|passar por|percorrer|resolver|usar|utilizar|recorrer a|lembrar
    |estudar|explorar|obter|esclarecer|localizar|chamar|somar)
    (?: também| agora| primeiro| já| rapidamente| ainda)?
""")
GIVE = joined(r"""
    (?:explicar|apresentar|resumir|fornecer|dar|mostrar|responder|listar|ajudá-l[oa]s?
    |ajudar-[vt][oe]s?|enumerar|descrever|traduzir
    |reescrever|gerar|criar|escrever|elaborar|formatar|converter|ajudar|preparar|oferecer|redigir
    |expor|detalhar|partilhar|compartilhar)(?:-lhe|-te|-vos)?(?: a você| você)?(?: com)?
""")
ANSWER = joined(r"""
    (?:resumo|visão geral|respostas?|explicação|tradução|listas?|tabelas?|json|esquema|vers(?:ão
    |ões)
    |passos?|etapas?|exemplos?|código|detalhes|pontos|raciocínio|instruç(?:ão|ões)|guia|rascunho
    |perguntas?|quest(?:ão|ões)|pedido|solicitação|mensagem|texto|frase|parágrafo|título|análise
    |receita|resultados?|script|solução|comparação|modelo|carta|e-?mail|sugest(?:ão|ões)|recomendaç(?:ão
    |ões)
    |opç(?:ão|ões)|dicas|ideias|roteiro|relatório|poema|função|informaç(?:ão|ões)|descrição|partes
    |plano|correção|conteúdo)\b
""")
GIVEN = joined(rf"""
    (?:(?:{DETERMINER})(?: [\w'-]+){{0,3}}? {ANSWER}|(?:como|porqu[eê]|por que|o que|isto|isso
    |com isso|com isto|nisso|nisto)\b
    |(?:passo a passo|em detalhe|detalhadamente|brevemente|melhor)\b|em \w+ (?:partes|passos
    |etapas)|$)
""")
DO = joined(rf"""
    (?:{STUDY}|{READ}(?: (?:{THING}|{ASKED}|{THIS}).*
    | (?!.*\b(?:meu|minha|seu|sua)s?\b).*\bprimeiro|$)
    |(?:procurar|buscar|pesquisar) (?:por|na (?:internet|web)|hotéis|voos|informações)\b.*
    |{GIVE}(?:$| {GIVEN}.*))
""")
DOING = joined(r"""
    (?:(?:estou )?a (?:analisar|verificar|procurar|pesquisar|consultar|rever|processar|calcular|ler
    |examinar|comparar|recolher|reunir|ver)|(?:estou )?(?:analisando|verificando|procurando|buscando
    |pesquisando|consultando|revisando|processando|calculando|lendo|examinando|comparando|coletando
    |reunindo))
""")
WILL = joined(r"""
    (?:começarei|analisarei|verificarei|explicarei|apresentarei|responderei|examinarei|avaliarei
    |consultarei|resumirei|farei|darei|fornecerei|listarei|compararei|considerarei)
""")
MACHINE = joined(r"""
    (?:apenas |só |somente |simplesmente )?(?:uma? )?
    (?:ia|i\.a\.|inteligência artificial|(?:grande )?modelo (?:de (?:linguagem|língua|ia)
    |linguístico)
    |chatbot|assistente (?:virtual|digital|de ia|de inteligência artificial))
    (?: (?:de grande (?:dimensão|porte|escala)|de (?:ia|inteligência artificial)))?
""")
MADE = joined(r"""
    (?: (?:treinad[oa]|criad[oa]|desenvolvid[oa]|feit[oa]|sem|que|e|com|então|portanto|por isso
    |aqui)\b.*|,.*)?
""")
SOURCE = joined(r"""
    (?:informaç(?:ão|ões)|contexto|dados|detalhes|textos?|documentos?|passagens?|fontes?|descrição
    |trechos?|conteúdo)
""")
BASE = r"(?:com base|baseado|de acordo com|segundo|conforme|a partir d)(?: ?[neo]?[oa]s?)?"
FROM = OPENING + BASE
GAVE = joined(r"""
    (?:fornecid|dad|apresentad|disponibilizad|disponíve|enviad|indicad|partilhad|compartilhad)\w*
""")
HERE = rf"{OPENING}(?:aqui (?:está|estão|vai|vão|tem|te[nm]s)|eis|seguem?(?:-se)?(?: abaixo)?)"

PORTUGUESE = Phrases(
    first_words=beginnings(
        """
        abaixo agora aguarde ah analisando analisarei antes apenas apresentarei após aqui avaliarei
        baseado bem bom buscando calculando certamente certo claro coletando com comecemos começarei
        começo comparando compararei compreendo conforme considerando considerarei consultando
        consultarei darei deixa deixa-me deixa-nos deixe deixe-me deixe-nos deixem-me depois devemos
        devo eis entendi entendido entendo então espera espere estou eu examinando examinarei
        excelente explicarei farei ficarei fico finalmente fornecerei gostaria gostava hm hmm hum
        humm irei iremos lendo listarei muito obrigada obrigado ok okay ora pediste pediu pensando
        percebi percebo perfeito permita-me permitam-me permite-me pesquisando pois posso precisamos
        preciso pretendo primeiramente primeiro processando procurando queremos quero raciocinando
        responderei resumirei reunindo revisando segue segue-se seguem seguem-se segundo sendo seria
        será sim sou também temos tendo tenho terei vamos vejamos vejo verificando verificarei vou
        ótima ótimo
        """,
        """
        a analisar, a calcular, a comparar, a consultar, a examinar, a fim, a ler, a minha, a
        partir, a pensar, a pergunta, a pesquisar, a processar, a procurar, a questão, a recolher, a
        reunir, a rever, a seguir, a solicitação, a tarefa, a ver, a verificar, ao analisar, ao
        consultar, ao examinar, ao ler, ao verificar, boa pergunta, boa questão, como assistente,
        como chatbot, como grande, como ia, como inteligência, como modelo, como um, como uma, de
        acordo, e agora, e depois, e vou, em primeiro, em seguida, em segundo, enquanto assistente,
        enquanto ia, enquanto inteligência, enquanto modelo, enquanto um, enquanto uma, essa é, já
        que, me deixa, me deixe, meu objetivo, meu primeiro, meu próximo, minha tarefa, na
        qualidade, neste caso, não consigo, não posso, não sou, não tenho, o meu, o pedido, o
        usuário, o utilizador, para a, para ajudar, para calcular, para começar, para completar,
        para compreender, para dar, para descobrir, para determinar, para encontrar, para entender,
        para fazer, para isso, para obter, para perceber, para poder, para resolver, para responder,
        para saber, para tal, para tratar, passo a, pode deixar, por fim, por ser, sem problema, sem
        problemas, só um, tudo bem, um instante, um minuto, um momento, um segundo, visto que, você
        pediu, é claro
        """,
    ),
    acknowledgement=pattern(rf"{YES}(?:,? {YES})?"),
    announcement=pattern(
        rf"{START}(?:{LATER}|{NOW}) {HOW}{DO}",
        rf"{OPENING}{WILL} (?:por |{GIVEN}|{THING}|{ASKED}|{THIS}).*",
        rf"{OPENING}(?:vejamos|comecemos)(?: (?:{ASKED}|{THING}|pel[oa]s? {MATTER}|por)\b.*)?",
        rf"{OPENING}{DOING} {THING}(?: (?:agora|para si|para você|primeiro))*",
        r"(?:a pensar|pensando|a analisar|analisando|processando|a processar)",
        rf"""{OPENING}(?:ficarei|fico|estou|seria|será|terei|tenho)(?: muito)?[ ]
        (?:feliz|contente|um prazer|(?:todo o |muito )?(?:gosto|prazer))[ ]
        (?:em|por|de) (?:poder )?(?:ajudar|auxiliar|ajudá-l[oa]|ajudar-te)
        (?: (?:com|n)[oa]? (?:isso|isto|(?:a )?su?a [\w ]+|o? ?seu [\w ]+))?""",
        rf"""{OPENING}posso (?:certamente )?(?:ajudar|ajudá-l[oa]|ajudar-te|te ajudar)[ ]
        (?:com isso|com isto|nisso|nisto)""",
        rf"""{OPENING}o (?:usuário|utilizador) (?:quer|pede|pediu|está perguntando|está a perguntar
        |está pedindo|está a pedir|pergunta|perguntou|deseja|gostaria|solicita|solicitou
        |parece)\b.*""",
        rf"""{OPENING}(?:[oa] )?(?:pergunta|questão|tarefa|pedido|solicitação)[ ]
        (?:é sobre|pede|pede-me|quer|pergunta|exige que eu|refere-se)\b.*""",
        rf"""{OPENING}(?:entendi|entendo|percebi|percebo|compreendo|vejo) que (?:você |o senhor
        |a senhora )?(?:quer|queres|deseja|precisa|gostaria|pediu|pretende|está procurando)\b.*""",
        rf"""{OPENING}(?:você )?(?:pediu|pediste)(?:-me| que eu| para eu| para que eu)\b.*""",
        rf"{OPENING}sou {MACHINE}{MADE}",
        rf"{OPENING}não (?:tenho|posso|consigo|sou)\b.* (?:porque|pois|já que"
        rf"|visto que) sou {MACHINE}",
        r"""(?:só |apenas |aguarde |espere )?um (?:momento|instante|minuto|segundo),?
        (?: por favor,?)? enquanto .*""",
        rf"""{HERE} .*\b(?:que (?:você |me )?(?:pediu|pediste|solicitou|queria|procurava)
        |pedid[oa]s?
        |solicitad[oa]s?|requisitad[oa]s?|conforme (?:pedido|solicitado))\b.*""",
        rf"{HERE} o que (?:eu )?(?:encontrei|descobri|consegui|apurei|sei)\b.*",
    ),
    heading=pattern(
        rf"{HERE} (?:.* )?{ANSWER}.*",
        rf"abaixo (?:está|estão|segue|seguem|encontra|encontrará|tem) (?:.* )?{ANSWER}.*",
    ),
    any_heading=pattern(rf"{HERE} .*"),
    clause=pattern(
        rf"{OPENING}(?:como|enquanto|sendo|por ser|já que sou|visto que sou"
        rf"|na qualidade de) {MACHINE}{MADE}",
        rf"{FROM} (?:[\w-]+ )?{SOURCE} (?:que (?:me )?(?:foram |foi |você )?)?{GAVE}(?: acima)?",
        rf"{OPENING}(?:pensando|raciocinando) (?:sobre|n?isso|n?isto|passo a passo)\b.*",
    ),
    finding_clause=pattern(
        rf"""{OPENING}(?:após|depois de|tendo|ao|tendo em conta) (?:analis|examin|verific|consult
        |l[eiê]|rev
        |avali|consider|pesquis|estud)\w* (?:.* )?{MATTER}.*""",
    ),
    finding=pattern(
        r"""(?:(?:eu )?(?:constatei|verifiquei|concluí|encontrei|vi|percebi|notei|descobri|vejo
        |posso (?:dizer|ver|afirmar|concluir|confirmar)|concluo|verifico|noto|constato)
        |há|existem|a resposta)\b.*""",
    ),
    content=pattern(
        r"\b(?:mas|embora|porém|contudo|(?:porque|pois)(?! sou)|a menos que|senão)\b",
        r"[,;] (?:el[ea]s?|isto|isso|você|nós|há|[oa]s? [\w ]+) (?:é|são|está|estão|foi|tem|têm)\b",
        r"\be (?:depois )?(?:enviar|mandar|levar|ligar|trazer|pôr|colocar|reservar|pagar|comprar"
        r"|encontrar-me|abrir|fechar|tirar|entregar|trocar|reparar|envi\w+-lhe|escrev\w+-lhe)\b",
        r" = |\?$",
    ),
    plan=pattern(
        r"\b(?:meu|minha)s? (?!raciocínio|resposta|tarefa|objetivo|próximo|primeiro|base|análise)",
        r"\b(?:amanhã|logo|mais tarde|hoje à|esta (?:noite|tarde)|um dia|depois d[oae])\b",
        r"\b(?:n[ao]|à|até|até à|toda) (?:segunda|terça|quarta|quinta|sexta|sábado|domingo)",
        r"\b(?:n?[oa] próxim[oa]|para [ao] (?:semana|mês|ano)|todos os (?:dias|anos|meses)"
        r"|todas as)\b",
        r"\bem (?:janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro"
        r"|dezembro)\b|\bdaqui a\b|\bde manhã\b|\bà (?:noite|tarde)\b",
        r"\bàs? (?:\d|uma\b|duas|três|quatro|cinco|seis|sete|oito|nove|dez|onze|doze)"
        r"|\bao (?:meio-dia"
        r"|jantar|almoço)\b",
        r"\b(?:quando|assim que|enquanto|antes que|se) (?:[oa]s?|eu|ele|ela|você|chegar|voltar"
        r"|parar"
        r"|tiver|puder|quiser)\b",
    ),
)
