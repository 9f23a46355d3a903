//! Finite-field Diffie-Hellman with the MODP groups 2, 14 and 16 (RFC 2409, RFC 3526).

use std::sync::OnceLock;

use ramona_modexp::Modulus;

use crate::entropy::Entropy;

/// Smallest public key, and its distance from the prime: 2^24 (RFC 7425 §4.3.2).
const MARGIN_BITS: usize = 24;
/// One bits, and zero bits below the top one, that a public key has at least.
const MIN_BITS_OF_A_KIND: u32 = 16;

/// A group that is implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Group 2, 1,024 bits: the only one of librtmfp and Flash Player.
    Modp1024,
    /// Group 14, 2,048 bits.
    Modp2048,
    /// Group 16, 4,096 bits.
    Modp4096,
}

impl Group {
    /// The group of an identifier on the wire.
    pub fn from_id(id: u64) -> Option<Self> {
        match id {
            2 => Some(Self::Modp1024),
            14 => Some(Self::Modp2048),
            16 => Some(Self::Modp4096),
            _ => None,
        }
    }

    /// The identifier on the wire.
    pub fn id(self) -> u64 {
        match self {
            Self::Modp1024 => 2,
            Self::Modp2048 => 14,
            Self::Modp4096 => 16,
        }
    }

    /// Bytes of fresh exponents: 256, 320 and 480 bits, at least twice the group's strength.
    fn exponent_len(self) -> usize {
        match self {
            Self::Modp1024 => 32,
            Self::Modp2048 => 40,
            Self::Modp4096 => 60,
        }
    }

    fn prime(self) -> Vec<u8> {
        let (tail, middle) = match self {
            Self::Modp1024 => ("", TAIL_1024),
            Self::Modp2048 => (TAIL_2048, MIDDLE),
            Self::Modp4096 => (TAIL_4096, MIDDLE),
        };
        let digits: Vec<u8> = [HEAD, middle, tail]
            .concat()
            .bytes()
            .filter_map(|c| char::from(c).to_digit(16).map(|d| d as u8))
            .collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// The prime and its tables, built at first use. `None` only when memory ends.
    fn parameters(self) -> Option<&'static Parameters> {
        static PARAMETERS: [OnceLock<Option<Parameters>>; 3] = [const { OnceLock::new() }; 3];
        PARAMETERS[self as usize]
            .get_or_init(|| {
                let prime = self.prime();
                let modulus = Modulus::new(&prime, self.exponent_len() * 8)?;
                // The low 64 bits of the prime are ones: no borrow.
                let mut highest_key = prime;
                let at = highest_key.len() - MARGIN_BITS / 8 - 1;
                highest_key[at] -= 1;
                Some(Parameters { modulus, highest_key })
            })
            .as_ref()
    }

    /// Whether `key`, without leading zeros, may be used: 2^24 <= key <= p - 2^24, and enough ones
    /// and zeros.
    fn is_valid_key(self, key: &[u8]) -> bool {
        let (Some(parameters), Some(&top)) = (self.parameters(), key.first()) else {
            return false;
        };
        let highest = &parameters.highest_key;
        if key.len() <= MARGIN_BITS / 8
            || key.len() > highest.len()
            || key.len() == highest.len() && key > &highest[..]
        {
            return false;
        }
        let ones: u32 = key.iter().map(|b| b.count_ones()).sum();
        let bits = key.len() as u32 * 8 - top.leading_zeros();
        ones >= MIN_BITS_OF_A_KIND && bits - ones >= MIN_BITS_OF_A_KIND
    }
}

/// What is kept of a group.
struct Parameters {
    modulus: Modulus,
    /// p - 2^24: the largest valid public key.
    highest_key: Vec<u8>,
}

/// The bytes of an integer without its leading zeros.
fn minimal(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    &bytes[zeros..]
}

/// A private exponent and its public key.
#[derive(Clone)]
pub struct KeyPair {
    group: Group,
    exponent: Box<[u8]>,
    public: Box<[u8]>,
}

impl KeyPair {
    /// A fresh pair. Costs a tenth of an agreement; still not for an event loop.
    pub fn generate(group: Group, entropy: &mut Entropy) -> Self {
        let mut exponent = vec![0; group.exponent_len()];
        loop {
            entropy.fill(&mut exponent);
            if let Some(pair) = Self::from_exponent(group, &exponent) {
                return pair;
            }
        }
    }

    /// The pair of an exponent (big-endian). `None` when its public key is not valid.
    pub fn from_exponent(group: Group, exponent: &[u8]) -> Option<Self> {
        let public = group.parameters()?.modulus.power_of_two(exponent)?;
        let public = minimal(&public);
        group.is_valid_key(public).then(|| Self {
            group,
            exponent: exponent.into(),
            public: public.into(),
        })
    }

    /// The group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// The public key: big-endian, without leading zeros.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The shared secret with a far public key: big-endian, without leading zeros. `None` for a
    /// key that is out of range or has too few ones or zeros.
    pub fn agree(&self, far_public: &[u8]) -> Option<Vec<u8>> {
        let far = minimal(far_public);
        if !self.group.is_valid_key(far) {
            return None;
        }
        let secret = self.group.parameters()?.modulus.power(far, &self.exponent)?;
        Some(minimal(&secret).to_vec())
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("group", &self.group).finish_non_exhaustive()
    }
}

// The primes share their digits of pi; the last 64 bits of each are ones.
const HEAD: &str = "
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE";
const TAIL_1024: &str = "65381FFFFFFFFFFFFFFFF";
const MIDDLE: &str = "
    45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED52907709
    6966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4
    C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AA";
const TAIL_2048: &str = "CAA68FFFFFFFFFFFFFFFF";
const TAIL_4096: &str = "
    AC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7ABF5AE8CDB0
    933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200CBBE117577A6
    15D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D788719A10BDB
    A5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6
    BC05D99B2964FA090C3A2233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA993B4EA988D8
    FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF";

#[cfg(test)]
mod tests;
