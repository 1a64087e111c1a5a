//! What is no YAML, or no object of any kind.

/// What is wrong, what is shown of it where that isn't all, and the file.
pub(super) type Wrong = (&'static str, &'static str, fn() -> Vec<u8>);

pub(super) const TEXTS: &[Wrong] = &[
    ("a tab for indentation", "", || b"kind: Service\nmetadata:\n\tname: a\n".to_vec()),
    ("a mapping in a line", "", || b"kind: Service\nmetadata: name: a\n".to_vec()),
    ("a bracket without its end", "", || b"kind: Service\nmetadata: {name: a\n".to_vec()),
    ("a quote without its end", "", || b"kind: \"Service\nmetadata: {name: a}\n".to_vec()),
    ("a list that isn't aligned", "", || b"kind: Service\nspec:\n  - a\n - b\n".to_vec()),
    ("a key twice", "", || b"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nkind: Secret\n".to_vec()),
    ("a key that isn't text", "", || {
        b"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n[a]: b\n".to_vec()
    }),
    ("an alias of nothing", "", || b"kind: *service\n".to_vec()),
    ("aliases that multiply", "a: &a [x, …]; b: &b [*a, …]; … nine times", bomb),
    ("too deep", "[[[[…]]]]", || [vec![b'['; 5000], vec![b']'; 5000]].concat()),
    ("not UTF-8", "# caf\\xe9", || b"kind: Service # caf\xe9\n".to_vec()),
    ("too large", "17 MiB", || vec![b'#'; 17 << 20]),
    ("a byte that text can't have", "", || b"kind: Ser\0vice\n".to_vec()),
    ("a tag", "", || b"apiVersion: v1\nkind: Namespace\nmetadata: {name: !secret a}\n".to_vec()),
    ("a word instead of an object", "", || b"Service\n".to_vec()),
    ("a list instead of an object", "", || b"- kind: Service\n".to_vec()),
    ("no kind", "", || b"apiVersion: v1\nmetadata: {name: a}\n".to_vec()),
    ("no apiVersion", "", || b"kind: Service\nmetadata: {name: a}\n".to_vec()),
    ("no name", "", || b"apiVersion: v1\nkind: ServiceAccount\nmetadata: {}\n".to_vec()),
    ("a kind that is misspelt", "", || b"apiVersion: v1\nkind: Servise\nmetadata: {name: a}\n".to_vec()),
    ("a kind of another group", "", || {
        b"apiVersion: networking.istio.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n".to_vec()
    }),
    ("a kind that is known, but not read", "", || {
        b"apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata: {name: a}\n".to_vec()
    }),
    ("a kind that nobody knows", "", || {
        b"apiVersion: example.com/v1\nkind: Cow\nmetadata: {name: a}\n".to_vec()
    }),
    ("an object twice", "", || {
        let object = b"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n";
        [&object[..], b"---\n", object].concat()
    }),
    ("a name that is too long", "name: aaa… (300)", || {
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {}\n", "a".repeat(300)).into_bytes()
    }),
];

fn bomb() -> Vec<u8> {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text.into_bytes()
}
