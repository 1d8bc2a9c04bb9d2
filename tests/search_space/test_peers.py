from repvit_nas.search_space.peers import peers


def test_every_peer_has_a_source_and_says_whether_it_was_distilled():
    assert len(peers()) > 100
    assert all(peer.source and peer.reported_by for peer in peers())
    assert {peer.distilled for peer in peers()} == {"yes", "no", "?"}


def test_no_figure_is_there_twice():
    keys = [(peer.model, peer.resolution) for peer in peers()]

    assert len(keys) == len(set(keys))
