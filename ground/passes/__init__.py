"""When which station sees the satellite (`predict`), and the contact plan that goes up (`plan`)."""
