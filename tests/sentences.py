"""What every error has to be."""


def one_sentence(error):
    """Check that what pytest caught says one sentence."""
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 400
