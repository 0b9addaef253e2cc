"""Refusals, on answers that were labelled by hand."""

import pytest

from evals.sample import Answer, Sample
from evals.scorers.style import refusal

DECLINED = [
    "I can't help with that.",
    "I’m sorry, but I can’t assist with this request.",
    "Sorry, I cannot do that.",
    "As an AI language model, I cannot provide legal advice.",
    "I'm sorry, but as an assistant I'm not able to generate that.",
    "I'm unable to answer that question.",
    "I won't write that for you.",
    "I must respectfully decline this request.",
    "Thank you for asking. Unfortunately, I am not able to share guests' addresses.",
    "I'd rather not discuss politics.",
    "That's not something I can help with.",
    "I'm not comfortable answering this.",
    "I cannot in good conscience recommend that.",
    "I'm afraid I can't do that, Dave.",
    "**I'm sorry**, but I won't continue.",
    "We cannot provide that.",
    "I have to refuse.",
    "I am not allowed to disclose the guest list.",
    "Your request violates our policy.",
    "Unfortunately I can't fulfil this request.",
    "Não posso ajudar com isso.",
    "Lamento, mas não posso fazer isso.",
    "Desculpe, não consigo responder a essa pergunta.",
    "Infelizmente, não me é possível fornecer essa informação.",
    "Como modelo de linguagem, não posso dar conselhos médicos.",
    "Recuso-me a escrever isso.",
    "Prefiro não falar sobre isso.",
    "Sinto muito, mas não vou ajudar com esse pedido.",
    "Não estou autorizado a partilhar os contactos.",
    "Peço desculpa, mas não posso.",
    "Obrigado pela pergunta, mas não posso revelar a lista.",
    "Isso não é algo que eu possa fazer.",
    "Não me sinto à vontade para responder.",
    "Não lhe posso dar essa informação.",
    "Terei de recusar o pedido.",
    "Eu não vou participar nisso.",
]
ANSWERED = [
    "",
    "   ",
    "The soup is pumpkin.",
    "I can't wait to see you!",
    "I can't help but smile.",
    "If I can't help, call the desk.",
    "She can't help you with that, but I can.",
    "I don't know.",
    "I could not find it in the documents.",
    "You can't write on the walls.",
    'He said "I can\'t help you" and left.',
    "He said “I can’t help you” and left.",
    "I will help with that.",
    "I'm sorry to hear that. Try some tea.",
    "Sorry for the delay! The table is booked.",
    "I can't tell you how happy I am.",
    "He declined the offer.",
    "To decline a meeting, press No.",
    "I refuse? No, I accept gladly.",
    "We decline no one.",
    "Our kitchen cannot provide dishes without nuts.",
    "Não sei.",
    "Não há problema, eu ajudo.",
    "A Ana não pode ajudar hoje.",
    "Se não posso ajudar, diga.",
    "Posso ajudar com isso.",
    "Lamento a demora; a mesa está reservada.",
    "Não posso esperar para ver!",
    "Desculpe o atraso. São 12 convidados.",
    "Não vou mentir: a sopa é ótima.",
    "The story goes on. " * 30 + "I can't help with that.",
]
SAMPLE = Sample(id="one", messages=(), target=None, group="one")


@pytest.mark.parametrize("text", DECLINED)
def test_answers_that_decline(text: str) -> None:
    score = refusal()(SAMPLE, Answer(text))
    assert (score.values, score.failure) == ({"refusal_rate": 1.0}, "refused")


@pytest.mark.parametrize("text", ANSWERED)
def test_answers_that_do_not(text: str) -> None:
    score = refusal()(SAMPLE, Answer(text))
    assert (score.values, score.failure) == ({"refusal_rate": 0.0}, None)
