import msgspec

import repvit_nas


def test_a_name_is_only_text_in_html_and_pictures():
    from matplotlib.figure import Figure

    network = msgspec.structs.replace(
        repvit_nas.load_architecture("repvit_m0_9"), name="<script>$x$</script>"
    )
    found = repvit_nas.predict(network)
    axes = found.plot(Figure().subplots())

    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;$x$" in found._repr_html_()
    assert axes.get_yticklabels()[0].get_text() == r"<script>\$x\$</script> on iphone12"
