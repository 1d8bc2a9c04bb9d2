"""Room: campaigns that train networks to learn which are accurate on some images."""
