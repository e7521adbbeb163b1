//! Who announces: peers by number, in swarms by number.

/// As many swarms of as many peers.
#[derive(Clone, Copy)]
pub struct Peers {
    pub swarms: usize,
    /// Each has a port of its own.
    pub per_swarm: usize,
}

impl Peers {
    pub fn count(&self) -> usize {
        self.swarms * self.per_swarm
    }

    pub fn info_hash(&self, number: usize) -> [u8; 20] {
        spread((number / self.per_swarm) as u64)
    }

    pub fn peer_id(&self, number: usize) -> [u8; 20] {
        spread(1 << 40 | number as u64)
    }

    pub fn port(&self, number: usize) -> u16 {
        1024 + (number % self.per_swarm) as u16
    }

    /// A quarter are seeds.
    pub fn left(&self, number: usize) -> u64 {
        u64::from(number % 4 != 0)
    }

    /// An announce over HTTP, as a client that wants 50 peers would send it.
    pub fn request(&self, number: usize, keeps: bool) -> String {
        let connection = if keeps { "keep-alive" } else { "close" };
        format!(
            "GET /announce?info_hash={}&peer_id={}&port={}&uploaded=0&downloaded=0&left={}\
             &corrupt=0&numwant=50&compact=1&no_peer_id=1 HTTP/1.1\r\n\
             Host: 127.0.0.1\r\nUser-Agent: bench\r\nConnection: {connection}\r\n\r\n",
            escaped(&self.info_hash(number)),
            escaped(&self.peer_id(number)),
            self.port(number),
            self.left(number),
        )
    }

    /// The same over UDP (BEP 15).
    pub fn packet(&self, number: usize, connection: [u8; 8]) -> Vec<u8> {
        let mut packet = [connection, [0, 0, 0, 1, 0, 0, 0, 9]].concat();
        packet.extend(self.info_hash(number));
        packet.extend(self.peer_id(number));
        packet.extend([0; 8]);
        packet.extend(self.left(number).to_be_bytes());
        packet.extend([0; 8 + 4 + 4 + 4]);
        packet.extend(50_u32.to_be_bytes());
        packet.extend(self.port(number).to_be_bytes());
        packet
    }
}

/// Twenty bytes that look like a hash.
fn spread(number: u64) -> [u8; 20] {
    let mut bytes = [0; 20];
    for (place, part) in bytes.chunks_mut(8).enumerate() {
        let mixed = next_random(&mut (number * 3 + place as u64));
        part.copy_from_slice(&mixed.to_be_bytes()[..part.len()]);
    }
    bytes
}

/// SplitMix64.
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}
