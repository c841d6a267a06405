use std::io::Write;
use wherry_block::Codec;

/// What `codec` makes of `bytes`.
pub fn pack(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Deflate => {
            let mut to = flate2::write::DeflateEncoder::new(Vec::new(), level);
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        Codec::Zlib => {
            let mut to = flate2::write::ZlibEncoder::new(Vec::new(), level);
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        Codec::Zstd => zstd::bulk::compress(bytes, 3).unwrap(),
    }
}

#[test]
fn slack_is_ignored_and_damage_is_not() {
    let bytes: Vec<u8> = (0..70_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    for codec in [Codec::Deflate, Codec::Zlib, Codec::Zstd] {
        let mut stored = pack(codec, &bytes);
        let length = stored.len();
        stored.extend([0xa5; 500]);
        let mut into = vec![0; bytes.len()];
        assert_eq!(codec.decode(&stored, &mut into).unwrap(), bytes.len(), "{codec:?}");
        assert!(into == bytes);
        let mut larger = vec![0; bytes.len() + 10];
        assert_eq!(codec.decode(&stored, &mut larger).unwrap(), bytes.len());
        let cut = codec.decode(&stored[..length - 1], &mut into).unwrap_err();
        assert!(cut.to_string().contains("damaged"), "{codec:?}: {cut}");
        for short in [bytes.len() - 1, bytes.len() - 300, 0] {
            assert!(codec.decode(&stored, &mut into[..short]).is_err(), "{codec:?} into {short}");
        }
        assert!(codec.decode(&[], &mut into).is_err());
        assert!(codec.decode(&[0xff; 100], &mut into).is_err());
    }
}
