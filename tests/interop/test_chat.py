"""The chat room, with people at nc and at something like telnet."""

import signal

from support import Case, needs_nc, needs_socat


@needs_nc
class Chat(Case):
    def join(self, server, name, members):
        terminal = self.open("nc", server.host, server.port)
        terminal.expect("your name? ")
        terminal.type(name + "\n")
        self.assertEqual(terminal.line(), "* here: " + members)
        return terminal

    def test_three_people_do_not_miss_what_the_others_say(self):
        server = self.serve("chat")
        ann = self.join(server, "ann", "ann")
        bob = self.join(server, "bob", "ann, bob")
        eve = self.join(server, "eve", "ann, bob, eve")
        self.assertEqual(ann.line(), "* bob joins")
        self.assertEqual(ann.line(), "* eve joins")
        self.assertEqual(bob.line(), "* eve joins")
        for speaker, name in [(ann, "ann"), (bob, "bob"), (eve, "eve")]:
            speaker.type("hello\n")
            for listener in [ann, bob, eve]:
                self.assertEqual(listener.line(), name + ": hello")
        eve.send(signal.SIGINT)
        self.assertEqual(ann.line(), "* eve leaves")
        self.assertEqual(bob.line(), "* eve leaves")
        self.ends_well(server, signal.SIGINT)
        # One of them may hear first that the other has left.
        self.assertTrue(ann.rest().endswith("* the room closes\n"))
        self.assertTrue(bob.rest().endswith("* the room closes\n"))

    def test_a_name_that_is_taken_is_not_given_again(self):
        server = self.serve("chat")
        self.join(server, "ann", "ann")
        other = self.output("nc", server.host, server.port, input=b"ann\n")
        self.assertIn(b"taken", other)

    def test_someone_who_does_not_read_does_not_hold_up_the_others(self):
        server = self.serve("chat")
        ann = self.join(server, "ann", "ann")
        bob = self.join(server, "bob", "ann, bob")
        eve = self.join(server, "eve", "ann, bob, eve")
        self.assertEqual(ann.line(), "* bob joins")
        self.assertEqual(ann.line(), "* eve joins")
        self.assertEqual(bob.line(), "* eve joins")

        # Control-Z in her terminal: nothing there reads any more.
        eve.send(signal.SIGSTOP)
        said, dropped = 0, False
        while not dropped:
            self.assertLess(said, 50_000, "she is not dropped")
            lines = ["%d %s" % (said + n, "x" * 900) for n in range(20)]
            ann.type("".join(line + "\n" for line in lines))
            dropped = self.hears(ann, lines)
            self.assertEqual(self.hears(bob, lines), dropped)
            said += len(lines)
        ann.type("as before\n")
        self.assertEqual(ann.line(), "ann: as before")
        self.assertEqual(bob.line(), "ann: as before")

        eve.send(signal.SIGCONT)
        # What had fitted into the sockets, or nothing: nc may look at the reset first.
        self.assertLess(len(eve.rest().splitlines()), said)
        self.ends_well(server)

    def hears(self, listener, lines):
        """Whether somebody has left between these lines, none of which is missed."""
        heard = [listener.line() for _ in lines]
        left = "* eve leaves" in heard
        if left:
            heard.remove("* eve leaves")
            heard.append(listener.line())
        self.assertEqual(heard, ["ann: " + line for line in lines])
        return left

    @needs_socat
    def test_line_ends_of_telnet_do_not_become_part_of_names_or_lines(self):
        server = self.serve("chat")
        ann = self.join(server, "ann", "ann")
        there = "TCP:%s:%d" % (server.host, server.port)
        telnet = self.open("socat", "-t20", "-", there + ",crnl")
        telnet.type("tom\n")
        telnet.expect("your name? * here: ann, tom\n")
        telnet.type("hello\n")
        self.assertEqual(ann.line(), "* tom joins")
        self.assertEqual(ann.line(), "tom: hello")
        telnet.end_of_input()
        self.assertEqual(ann.line(), "* tom leaves")
        self.assertEqual(telnet.rest(), "tom: hello\n")
        self.ends_well(server)
